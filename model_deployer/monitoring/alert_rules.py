"""The alerts as rules of Prometheus, with texts for the operator."""

from model_deployer.monitoring.alerts import Alert
from model_deployer.monitoring.prometheus import Rule, literal
from model_deployer.monitoring.runbook import runbook_annotations
from model_deployer.package.package_data import PackageData


def alert_rule(alert: Alert, package: PackageData) -> Rule:
    """Return an alert as a rule of Prometheus."""
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.for_duration,
        "labels": {"severity": alert.severity, "model": package.manifest.name},
        "annotations": annotations(alert, package),
    }


def annotations(alert: Alert, package: PackageData) -> dict[str, str]:
    """Return the texts of an alert for the operator."""
    owner = package.manifest.owner
    to_runbook = {name: literal(text) for name, text in runbook_annotations(alert, package).items()}
    return {
        "summary": f"{package.manifest.name}: {alert.summary}",
        "description": f"{alert.meaning} {alert.action}",
        **to_runbook,
    } | ({"owner": literal(owner)} if owner else {})
