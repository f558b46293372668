/** Every failed call as one error type, with what a person needs to read. */

import { z } from "zod/mini";
import { parseExactJson } from "./exact_json.js";
import { labelOf } from "./labels.js";
import type { Messages } from "./messages.js";

/** What the API says about a refused call: `{code, message, details, hint}`, where `details` is JSON as text. */
const errorBody = z.object({
  code: z.optional(z.nullable(z.string())),
  message: z.optional(z.string()),
  details: z.optional(z.unknown()),
  hint: z.optional(z.nullable(z.string())),
});

const detailsObject = z.record(z.string(), z.unknown());

/** A call that the server refused or that never reached it. */
export class BillingError extends Error {
  override readonly name = "BillingError";

  /**
   * @param slug - The stable name of the refusal, such as `insufficient_credits`; `network` and `unexpected` are our own.
   * @param status - HTTP status, 0 when no answer came.
   * @param details - The refusal's facts; numbers are decimal texts.
   * @param hint - A sentence for a person, in English, when the server gave one.
   */
  constructor(
    readonly slug: string,
    readonly status: number,
    readonly details: Readonly<Record<string, unknown>> = {},
    readonly hint: string = "",
  ) {
    super(hint === "" ? slug : `${slug}: ${hint}`);
  }

  /** A detail as text, or null when the refusal does not carry it. */
  text(name: string): string | null {
    const value = this.details[name];
    return typeof value === "string" ? value : null;
  }
}

/**
 * Makes a `BillingError` of an error body.
 *
 * @param body - What came in place of an answer: PostgREST's error object, or a worker's JSON.
 * @param status - HTTP status, 0 when no answer came.
 */
export function billingErrorFrom(body: unknown, status: number): BillingError {
  const parsed = errorBody.safeParse(body);
  if (!parsed.success) return new BillingError(slugOfStatus(status), status);
  const { code, message, details, hint } = parsed.data;
  // So PostgREST answers, with 400, when its connection to the database breaks during the COMMIT: the server failed.
  if (code === "" && message === "") return new BillingError(slugOfStatus(500), 500);
  const isRefusal = message !== undefined && /^[a-z][a-z0-9_]*$/.test(message);
  const slug = isRefusal ? message : slugOfCode(code ?? "", status);
  return new BillingError(slug, status, readDetails(details), isRefusal ? (hint ?? "") : "");
}

function readDetails(details: unknown): Record<string, unknown> {
  const value = typeof details === "string" ? parseExactJson(details) : details;
  const parsed = detailsObject.safeParse(value);
  return parsed.success ? parsed.data : {};
}

function slugOfCode(code: string, status: number): string {
  if (code === "42501") return "not_authorized";
  if (code === "PGRST301" || code === "PGRST303") return "session_expired";
  return slugOfStatus(status);
}

function slugOfStatus(status: number): string {
  if (status === 0) return "network";
  if (status === 401) return "session_expired";
  if (status === 403) return "not_authorized";
  if (status === 503) return "busy";
  return "unexpected";
}

/**
 * Says in words what went wrong.
 *
 * @param error - Anything that was thrown.
 * @param messages - The texts to choose from.
 */
export function describeError(error: unknown, messages: Messages): string {
  if (!(error instanceof BillingError)) return messages.errors.unexpected;
  if (Object.hasOwn(messages.errors, error.slug)) return labelOf(messages.errors, error.slug);
  return error.hint === "" ? messages.errors.unexpected : error.hint;
}
