"""Google's SDK for Vertex AI: a local and a private endpoint, without a container and without the cloud."""

import json
import os
import sys
from urllib.parse import urlsplit

import urllib3
from google.cloud.aiplatform import PrivateEndpoint
from google.cloud.aiplatform.prediction.local_endpoint import LocalEndpoint
from google.cloud.aiplatform_v1.types import DeployedModel, Endpoint, PrivateEndpoints

HEALTH, PREDICT = os.environ["AIP_HEALTH_ROUTE"], os.environ["AIP_PREDICT_ROUTE"]


class Local(LocalEndpoint):
    """A local endpoint whose container already runs."""

    def __init__(self, port):
        self.assigned_host_port, self.container_is_running = port, True
        self.serving_container_health_route, self.serving_container_predict_route = HEALTH, PREDICT

    def __del__(self):
        """Do nothing: there is no container to stop."""


class Private(PrivateEndpoint):
    """A private endpoint with the description that the cloud would return."""

    def __init__(self, url):
        paths = PrivateEndpoints(predict_http_uri=url + PREDICT, health_http_uri=url + HEALTH)
        deployed = [DeployedModel(id="34", private_endpoints=paths)]
        self._gca_resource = Endpoint(
            name="projects/1/locations/l/endpoints/12", network="any", deployed_models=deployed
        )
        self._http_client = urllib3.PoolManager()

    def wait(self):
        """Do nothing: no operation is pending."""

    def _sync_gca_resource(self):
        """Do nothing: there is no cloud to query."""

    _sync_gca_resource_if_skipped = _sync_gca_resource


url, rows = sys.argv[1], json.load(sys.stdin)
local, private = Local(urlsplit(url).port), Private(url)
assert local.run_health_check().status_code == 200
answers = [
    local.predict(request=json.dumps({"instances": rows})).json()["predictions"],
    private.predict(rows, parameters={"any": 1}).predictions,
]
try:
    private.predict([{}])
except RuntimeError as error:
    print(json.dumps({"answers": answers, "refusal": str(error)}))
