"""SageMaker's runtime client of local mode, with every type of body and answer."""

import csv
import io
import json
import sys
from urllib.parse import urlsplit

from sagemaker.core.local.local_session import LocalSagemakerRuntimeClient


def invoke(body, kind, accept):
    answer = client.invoke_endpoint(body, "any", kind, accept, CustomAttributes="trace=1", InferenceId="id-7")
    return answer["Body"].read().decode()


url, rows = urlsplit(sys.argv[1]), json.load(sys.stdin)
client = LocalSagemakerRuntimeClient({"local": {"serving_port": url.port}})
lines = "\n".join(map(json.dumps, rows))
table = io.StringIO()
csv.writer(table).writerows([row.values() for row in rows])
answers = [
    json.loads(invoke(json.dumps({"instances": rows}), "application/json", "application/json"))["predictions"],
    [json.loads(line) for line in invoke(lines, "application/jsonlines", "application/jsonlines").splitlines()],
    json.loads(invoke(table.getvalue(), "text/csv", "application/json"))["predictions"],
]
print(json.dumps({"answers": answers, "refusal": invoke('{"instances": [{}]}', "application/json", None)}))
