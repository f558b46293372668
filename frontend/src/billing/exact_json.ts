/** Reads JSON without turning its numbers into floating point: every number becomes the text it was sent as. */

/** The second-stage argument of a reviver (ECMAScript "JSON.parse source text access"). */
interface ReviverContext {
  readonly source?: string;
}

type ExactReviver = (key: string, value: unknown, context?: ReviverContext) => unknown;

const keepNumbersAsText: ExactReviver = (_key, value, context) =>
  typeof value === "number" ? (context?.source ?? String(value)) : value;

/**
 * Parses JSON text, keeping numbers exact.
 *
 * @param text - JSON, such as the `details` of a refusal or a `jsonb` column read as text.
 * @returns The value with every number as a decimal string; null when the text is not JSON.
 */
export function parseExactJson(text: string): unknown {
  try {
    return JSON.parse(text, keepNumbersAsText);
  } catch {
    return null;
  }
}
