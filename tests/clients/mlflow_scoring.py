"""MLflow's ScoringServerClient, with a DataFrame and with an array."""

import json
import sys
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

url, rows = urlsplit(sys.argv[1]), json.load(sys.stdin)
client = ScoringServerClient(url.hostname, url.port)
client.wait_server_ready()
assert client.get_version() == "1.0.0"
frame = pd.DataFrame(rows)
answers = [
    client.invoke(frame)["predictions"],
    client.invoke(frame, params={"ignored": "yes"})["predictions"],
    client.invoke(np.array(frame.values.tolist(), dtype=object))["predictions"],
]
try:
    client.invoke(frame.drop(columns="departure"))
except Exception as error:
    print(json.dumps({"answers": answers, "refusal": str(error)}))
