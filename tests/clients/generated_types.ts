// A client of openapi-fetch with the types that openapi-typescript made: what the document allows compiles, and a
// misspelt field or a wrong type does not.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Row = components["schemas"]["Row"];

// @ts-expect-error: a number is no text
const wrong: Row["distance"] = "far";
// @ts-expect-error: there is no such field
type Misspelt = Row["distanze"];
// @ts-expect-error: a prediction has no such key
type Unknown = components["schemas"]["Prediction"]["decisions"];

async function main(): Promise<void> {
    const client = createClient<paths>({ baseUrl: process.argv[2] });
    const rows: Row[] = JSON.parse(readFileSync(0, "utf8"));
    const { data, error } = await client.POST("/predict", { body: { rows } });
    // The document also has the media types of tables, whose content is binary.
    if (data === undefined || typeof data === "string" || !("predictions" in data)) throw new Error(JSON.stringify(error));
    const labels = Object.values(data.predictions[0].probabilities).map((value: number) => value >= 0);
    const refusal = await client.POST("/predict", { body: { rows: [{ ...rows[0], departure: "soon" }] } });
    const answer = {
        decision: data.predictions.map((each) => each.decision),
        probabilities: data.predictions.map((each) => Object.values(each.probabilities)),
    };
    if (!labels.every(Boolean)) throw new Error("a probability is negative");
    console.log(JSON.stringify({ answers: [answer], refusal: refusal.error?.errors?.[0].field }));
}

void main();
void wrong;
