"""KServe's InferenceRESTClient with protocol v1, and with protocol v2 in JSON and in binary tensors."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

KINDS = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}


async def infer_v1(url, rows):
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        assert await client.is_model_ready(url, "served")
        answer = await client.infer(url, {"instances": rows}, model_name="served")
        try:
            await client.infer(url, {"instances": [{}]}, model_name="served")
        except httpx.HTTPStatusError as error:
            return answer["predictions"], str(error)


async def infer_v2(url, rows, is_binary):
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "served")
        inputs = []
        for name, value in rows[0].items():
            kind = KINDS[type(value)]
            inputs.append(InferInput(name, [len(rows)], kind))
            values = np.array([row[name] for row in rows], object if kind == "BYTES" else None)
            inputs[-1].set_data_from_numpy(values, binary_data=is_binary)
        request = InferRequest("served", inputs, parameters={"binary_data_output": is_binary})
        answer = await client.infer(url, request, model_name="served")
        tensors = {output.name: output.as_numpy() for output in answer.outputs}
        decisions = [label.decode() if isinstance(label, bytes) else label for label in tensors["decision"].tolist()]
        return {"decision": decisions, "probabilities": tensors["probabilities"].astype(float).tolist()}


url, rows = sys.argv[1], json.load(sys.stdin)
predictions, refusal = asyncio.run(infer_v1(url, rows))
tensors = {name: [prediction[name] for prediction in predictions] for name in predictions[0]}
answers = [tensors, *(asyncio.run(infer_v2(url, rows, is_binary)) for is_binary in (True, False))]
print(json.dumps({"answers": answers, "refusal": refusal}))
