import { expect, test } from "vitest";
import { BillingError, billingErrorFrom, describeError } from "./errors.js";
import { english } from "./messages.js";

test("a refusal keeps its slug, its exact details and its hint, from PostgREST and from a worker alike", () => {
  const asText = { code: "PT402", message: "limit_exceeded", details: '{"used": 1.10}', hint: "Wait." };
  const asObject = { code: "PT402", message: "limit_exceeded", details: { used: "1.10" }, hint: "Wait." };
  for (const body of [asText, asObject]) {
    const error = billingErrorFrom(body, 402);
    expect([error.slug, error.status, error.text("used"), error.hint]).toEqual([
      "limit_exceeded",
      402,
      "1.10",
      "Wait.",
    ]);
  }
});

test.each([
  [{ code: "42501", message: "permission denied for table payments" }, 403, english.errors.not_authorized],
  [{ code: "PGRST301", message: "JWT expired" }, 401, english.errors.session_expired],
  [{ message: "TypeError: Failed to fetch" }, 0, english.errors.network],
  [null, 503, english.errors.busy],
  ["<html>", 502, english.errors.unexpected],
  [{ message: "insufficient_credits" }, 402, english.errors.insufficient_credits],
])("%o with status %d is told in words", (body, status, words) => {
  expect(describeError(billingErrorFrom(body, status), english)).toBe(words);
});

test("an answer that says nothing is a failure of the server, worth another attempt", () => {
  const error = billingErrorFrom({ code: "", details: null, hint: null, message: "" }, 400);
  expect(error.status).toBe(500);
  expect(describeError(error, english)).toBe(english.errors.unexpected);
});

test("a refusal that the messages do not know speaks by its hint, never by what the database said", () => {
  const hinted = { code: "PT409", message: "subscription_exists", hint: "Change the plan in the portal." };
  expect(describeError(billingErrorFrom(hinted, 409), english)).toBe("Change the plan in the portal.");
  const raw = { code: "22P02", message: 'invalid input syntax for type uuid: "x"', hint: "internal" };
  expect(describeError(billingErrorFrom(raw, 400), english)).toBe(english.errors.unexpected);
  expect(describeError(new BillingError("constructor", 400), english)).toBe(english.errors.unexpected);
});
