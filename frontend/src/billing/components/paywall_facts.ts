/** When credits are missing, and what to say about it: from a refusal's body, or from the balance alone. */

import { type MicroCredits, parseCredits } from "../credits.js";
import type { BillingError } from "../errors.js";
import type { CreditBalanceData } from "../queries/balance.js";

/** Why the paywall stands there. Amounts are in millionths of a credit. */
export type PaywallFacts =
  | { readonly kind: "zero" }
  | { readonly kind: "asked"; readonly available: MicroCredits }
  | { readonly kind: "short"; readonly available: MicroCredits; readonly cheapest: MicroCredits }
  | {
      readonly kind: "refused";
      readonly required: MicroCredits;
      readonly available: MicroCredits;
      readonly shortfall: MicroCredits;
    }
  | {
      readonly kind: "limit";
      readonly subjectType: string;
      readonly used: MicroCredits;
      readonly limit: MicroCredits;
      readonly resetsAt: string | null;
    }
  | { readonly kind: "approval" };

/**
 * Reads a 402 refusal.
 *
 * @param error - What `consume_credits` or `check_credits` refused with.
 * @returns Null when the refusal is about something else than credits or its details are not as documented.
 */
export function paywallOfRefusal(error: BillingError): PaywallFacts | null {
  switch (error.slug) {
    case "insufficient_credits": {
      const required = amount(error, "required");
      const available = amount(error, "available");
      const shortfall = amount(error, "shortfall");
      if (required === null || available === null || shortfall === null) return null;
      return { kind: "refused", required, available, shortfall };
    }
    case "limit_exceeded": {
      const used = amount(error, "used");
      const limit = amount(error, "limit");
      const subjectType = error.text("subject_type");
      if (used === null || limit === null || subjectType === null) return null;
      return { kind: "limit", subjectType, used, limit, resetsAt: error.text("resets_at") };
    }
    case "approval_required":
      return { kind: "approval" };
    default:
      return null;
  }
}

function amount(error: BillingError, name: string): MicroCredits | null {
  const text = error.text(name);
  return text === null ? null : parseCredits(text);
}

/**
 * Judges a balance.
 *
 * @param balance - The wallet.
 * @param cheapest - The lowest price of a call, when one is known.
 * @returns Null while at least the cheapest priced action can be paid for, and while credits are only held.
 */
export function paywallOfBalance(
  balance: Pick<CreditBalanceData, "available" | "held" | "isBlocked">,
  cheapest: MicroCredits | null,
): PaywallFacts | null {
  if (balance.held > 0n) return null;
  if (balance.available <= 0n) return balance.isBlocked ? { kind: "zero" } : null;
  if (cheapest === null || balance.available >= cheapest) return null;
  return { kind: "short", available: balance.available, cheapest };
}
