/** Whether a model was trained by this project or elsewhere, in words. */

import { number } from "./number.js";

/** Return what was done to the model when it was saved. */
export function made(evaluation) {
  return evaluation?.adoption ? "Adopted" : "Trained";
}

/** Return the use of the parts of the table. */
export function parts(evaluation) {
  const rows = evaluation?.rows;
  if (!rows) {
    return null;
  }
  const [first, second, third] = evaluation.adoption
    ? ["for the baselines", "for validation", "to measure the model"]
    : ["to train", "to validate", "to test"];
  return `${number(rows.train)} ${first}, ${number(rows.validation)} ${second}, ${number(rows.test)} ${third}`;
}

/** Return the test rows as a noun phrase, with what is known of their use for training. */
export function testRows(evaluation) {
  const rows = evaluation.rows ? `${number(evaluation.rows.test)} rows` : "rows";
  const { adoption } = evaluation;
  if (!adoption) {
    return `${rows} that were not used for training`;
  }
  const uses = {
    true: "of a table that the source was trained on, in whole or in part",
    false: "that were not used for training, as model.yaml says",
  };
  return `${rows} ${uses[adoption.seen] ?? "that the source may have been trained on"}`;
}

/** Return the condition on a probability for the decision for the second of two labels. */
export function fromThreshold(threshold, evaluation) {
  return `${evaluation?.adoption ? "above" : "at least"} ${threshold}`;
}
