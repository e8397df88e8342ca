"""Addresses of images."""

import pytest

from model_deployer.contract.errors import UsageError
from model_deployer.distribution.image_reference import ImageReference

DIGEST = "sha256:" + 64 * "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci://localhost:5000/churn", ImageReference("localhost:5000", "churn")),
        ("oci://r.example.com/team/churn:1.0.0", ImageReference("r.example.com", "team/churn", "1.0.0")),
        (f"oci://r.example.com/churn@{DIGEST}", ImageReference("r.example.com", "churn", None, DIGEST)),
        (f"oci://[::1]:5000/a-b/c__d:v_1@{DIGEST}", ImageReference("[::1]:5000", "a-b/c__d", "v_1", DIGEST)),
    ],
)
def test_an_address_is_read_and_written(text: str, expected: ImageReference) -> None:
    assert ImageReference.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["churn:1.0.0", "oci://churn:1.0.0", "https://r/churn", "oci://r/Churn", "oci://r/churn:", "oci://r/churn@sha256:1",
     "oci://r/../churn", "oci://user:pw@r/churn", "oci://r/churn:1 ", "oci:///churn"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected the address of an image"):
        ImageReference.parse(text)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]", "[::1]:5000"])
def test_a_registry_on_this_machine_needs_no_tls(host: str) -> None:
    assert ImageReference(host, "churn").is_local
    assert not ImageReference(f"{host}.example.com".replace("[", "").replace("]", ""), "churn").is_local
