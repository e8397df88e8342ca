/**
 * A request in each language.
 *
 * @typedef {object} Request
 * @property {string} address The address of the service, with a slash at the end.
 * @property {any} row The row.
 * @property {boolean} needsKey Whether the service requires an API key.
 */

import { requestBody, visibleJson } from "./request_body.js";

const KEY = "YOUR_API_KEY";

/**
 * The languages by their names.
 *
 * @type {Map<string, (request: Request) => string>}
 */
export const LANGUAGES = new Map([
  ["curl", curl],
  ["Python, BentoML", pythonBentoml],
  ["Python, httpx", (request) => python(request, "httpx")],
  ["Python, requests", (request) => python(request, "requests")],
  ["JavaScript", javascript],
  ["Go", go],
  ["Java", java],
  ["C#", csharp],
  ["PHP", php],
  ["Ruby", ruby],
  ["Rust", rust],
]);

function curl({ address, row, needsKey }) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  return [
    `curl ${quote(`${address}predict`)}`,
    ...(needsKey ? [`  -H ${quote(`X-API-Key: ${KEY}`)}`] : []),
    "  -H 'Content-Type: application/json'",
    `  -d ${quote(requestBody(row))}`,
  ].join(" \\\n");
}

function pythonBentoml({ address, row, needsKey }) {
  const token = needsKey ? `, token="${KEY}"` : "";
  return `import bentoml

with bentoml.SyncHTTPClient(${doubleQuoted(address.slice(0, -1))}${token}) as client:
    answer = client.predict(rows=${indented(pythonLiteral([row]), 4)})
print(answer["predictions"][0])`;
}

function python({ address, row, needsKey }, library) {
  const headers = needsKey ? `\n    headers={"X-API-Key": "${KEY}"},` : "";
  return `import ${library}

response = ${library}.post(
    ${doubleQuoted(`${address}predict`)},${headers}
    json=${indented(pythonLiteral({ rows: [row] }), 4)},
)
response.raise_for_status()
print(response.json()["predictions"][0])`;
}

function javascript({ address, row, needsKey }) {
  const key = needsKey ? `, "X-API-Key": "${KEY}"` : "";
  const body = visibleJson({ rows: [row] }, 2).replace(/^( *)"__proto__":/gm, '$1["__proto__"]:');
  return `const response = await fetch(${doubleQuoted(`${address}predict`)}, {
  method: "POST",
  headers: { "Content-Type": "application/json"${key} },
  body: JSON.stringify(${indented(body, 2)}),
});
const answer = await response.json();
if (!response.ok) throw new Error(answer.detail);
console.log(answer.predictions[0]);`;
}

function go({ address, row, needsKey }) {
  const key = needsKey ? `\n\trequest.Header.Set("X-API-Key", "${KEY}")` : "";
  return `package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

func main() {
	body := strings.NewReader(${doubleQuoted(requestBody(row))})
	request, err := http.NewRequest("POST", ${doubleQuoted(`${address}predict`)}, body)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")${key}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(answer))
}`;
}

function java({ address, row, needsKey }) {
  const key = needsKey ? `\n            .header("X-API-Key", "${KEY}")` : "";
  return `import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

class Predict {
    public static void main(String[] arguments) throws Exception {
        var body = ${doubleQuoted(requestBody(row))};
        var request = HttpRequest.newBuilder(URI.create(${doubleQuoted(`${address}predict`)}))
            .header("Content-Type", "application/json")${key}
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var response = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body());
    }
}`;
}

function csharp({ address, row, needsKey }) {
  const key = needsKey ? `\nclient.DefaultRequestHeaders.Add("X-API-Key", "${KEY}");` : "";
  return `using System.Text;

using var client = new HttpClient();${key}
var body = new StringContent(${doubleQuoted(requestBody(row))}, Encoding.UTF8, "application/json");
var response = await client.PostAsync(${doubleQuoted(`${address}predict`)}, body);
Console.WriteLine((int)response.StatusCode + " " + await response.Content.ReadAsStringAsync());`;
}

function php({ address, row, needsKey }) {
  const key = needsKey ? `, 'X-API-Key: ${KEY}'` : "";
  return `<?php
$request = curl_init(${singleQuoted(`${address}predict`)});
curl_setopt_array($request, [
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_HTTPHEADER => ['Content-Type: application/json'${key}],
    CURLOPT_POSTFIELDS => ${singleQuoted(requestBody(row))},
]);
echo curl_exec($request);`;
}

function ruby({ address, row, needsKey }) {
  const key = needsKey ? `, 'X-API-Key' => '${KEY}'` : "";
  return `require 'net/http'

response = Net::HTTP.post(
  URI(${singleQuoted(`${address}predict`)}),
  ${singleQuoted(requestBody(row))},
  'Content-Type' => 'application/json'${key}
)
puts response.code, response.body`;
}

function rust({ address, row, needsKey }) {
  const key = needsKey ? `\n        .set("X-API-Key", "${KEY}")` : "";
  return `// Cargo.toml: ureq = "2"
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = ureq::post(${doubleQuoted(`${address}predict`)})
        .set("Content-Type", "application/json")${key}
        .send_string(${doubleQuoted(requestBody(row))})?
        .into_string()?;
    println!("{answer}");
    Ok(())
}`;
}

/**
 * Return text of visible characters as a literal in double quotes: JSON without control characters has only quotes and
 * backslashes to escape, and all these languages escape them in the same way.
 */
function doubleQuoted(text) {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Return text as a literal in single quotes, in which PHP and Ruby replace nothing else. */
function singleQuoted(text) {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}

/** Return a JSON value as a literal of Python, whose texts and numbers are written as in JSON. */
function pythonLiteral(value, spaces = 0) {
  const inner = " ".repeat(spaces + 4);
  const lines = (items, open, close) =>
    items.length ? `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${" ".repeat(spaces)}${close}` : open + close;
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item === "number")) {
      return `[${value.map((item) => visibleJson(item)).join(", ")}]`;
    }
    return lines(value.map((item) => pythonLiteral(item, spaces + 4)), "[", "]");
  }
  if (value !== null && typeof value === "object") {
    const items = Object.entries(value).map(([name, item]) => `${visibleJson(name)}: ${pythonLiteral(item, spaces + 4)}`);
    return lines(items, "{", "}");
  }
  return PYTHON_CONSTANTS.get(value) ?? visibleJson(value);
}

const PYTHON_CONSTANTS = new Map([
  [null, "None"],
  [true, "True"],
  [false, "False"],
]);

/** Indent all lines except the first. */
function indented(text, spaces) {
  return text.replaceAll("\n", `\n${" ".repeat(spaces)}`);
}
