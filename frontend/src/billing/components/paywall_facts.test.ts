import { expect, test } from "vitest";
import { billingErrorFrom } from "../errors.js";
import { paywallOfBalance, paywallOfRefusal } from "./paywall_facts.js";

/** As PostgREST answers it: `details` is JSON as text. */
function refused(message: string, details: string) {
  return billingErrorFrom({ code: "PT402", message, details, hint: null }, 402);
}

test("a refusal for lack of credits says what was needed, exactly", () => {
  const details =
    '{"required": 12345678901234.123456, "available": 0.1, "shortfall": 12345678901234.023456, "balance": 0.1, "held": 0, "topup_url": "http://x"}';
  expect(paywallOfRefusal(refused("insufficient_credits", details))).toEqual({
    kind: "refused",
    required: 12345678901234123456n,
    available: 100000n,
    shortfall: 12345678901234023456n,
  });
});

test("a refusal by a limit names the subject and when it starts again", () => {
  const details =
    '{"limit_id": "a", "subject_type": "department", "subject_id": "b", "limit": 50, "used": 45, "required": 10, "remaining": 5, "resets_at": "2026-12-01T00:00:00+00:00"}';
  expect(paywallOfRefusal(refused("limit_exceeded", details))).toEqual({
    kind: "limit",
    subjectType: "department",
    used: 45_000_000n,
    limit: 50_000_000n,
    resetsAt: "2026-12-01T00:00:00+00:00",
  });
});

test("a refusal about something else, or one that lacks its details, makes no paywall", () => {
  expect(paywallOfRefusal(refused("billing_restricted", '{"reason": "dispute"}'))).toBeNull();
  expect(paywallOfRefusal(refused("insufficient_credits", ""))).toBeNull();
});

test.each([
  ["zero", { available: 0n, held: 0n, isBlocked: true }, 5n],
  ["short", { available: 4n, held: 0n, isBlocked: false }, 5n],
  [undefined, { available: 5n, held: 0n, isBlocked: false }, 5n],
  [undefined, { available: 4n, held: 0n, isBlocked: false }, null],
  [undefined, { available: 0n, held: 9n, isBlocked: true }, 5n],
  [undefined, { available: 0n, held: 0n, isBlocked: false }, 5n],
] as const)("the balance alone makes %s of %o with the cheapest action at %s", (kind, balance, cheapest) => {
  expect(paywallOfBalance(balance, cheapest)?.kind).toBe(kind);
});
