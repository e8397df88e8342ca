"""torchserve-client: health, the description of the API, and predictions of a form with one field per row."""

import json
import sys
from urllib.parse import urlsplit

import requests
from torchserve_client import TorchServeClientREST

url, rows = urlsplit(sys.argv[1]), json.load(sys.stdin)
client = TorchServeClientREST(f"http://{url.hostname}", inference_port=url.port).inference
assert client.health_check() == {"status": "Healthy"}
assert client.api_description()["openapi"]
files = [("data", json.dumps(row)) for row in rows]
answers = [client.prediction("served", files), client.prediction("served", files, version="1.0.0")]
try:
    client.prediction("served", [("data", "{}")])
except requests.HTTPError as error:
    print(json.dumps({"answers": answers, "refusal": error.response.json()["message"]}))
