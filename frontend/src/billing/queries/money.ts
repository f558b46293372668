/** Payments, invoices and the subscription. Members without rights to money get empty answers from the database. */

import { useQuery } from "@tanstack/react-query";
import { answerOf } from "../client.js";
import { useBilling } from "../context.js";
import { queryKey } from "../query_keys.js";

const REVERSALS_SHOWN = 200;
const PAYMENT_COLUMNS =
  "id, kind, status, amount, amount_refunded, currency, credits::text, description, card_brand, card_last4, receipt_url, failure_code, failure_message, disputed, stripe_payment_intent_id, paid_at, created_at, checkout_session_id, stripe_session_id";

/**
 * Reads payments, newest first.
 *
 * @param limit - At most how many rows.
 */
export function usePayments(limit = 50) {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "payments", limit),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("payments")
          .select(PAYMENT_COLUMNS)
          .eq("organization_id", organizationId)
          .order("created_at", { ascending: false })
          .order("id")
          .limit(limit)
          .abortSignal(signal),
      ),
  });
}

/** A payment as `usePayments` gives it. */
export type PaymentRow = NonNullable<ReturnType<typeof usePayments>["data"]>[number];

/**
 * Reads invoices, newest first.
 *
 * @param limit - At most how many rows.
 */
export function useInvoices(limit = 50) {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "invoices", limit),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("invoices")
          .select(
            "id, number, status, currency, amount_due, amount_remaining, total, hosted_invoice_url, invoice_pdf, due_date, created_at",
          )
          .eq("organization_id", organizationId)
          .neq("status", "draft")
          .order("created_at", { ascending: false })
          .order("id")
          .limit(limit)
          .abortSignal(signal),
      ),
  });
}

/** An invoice as `useInvoices` gives it. */
export type InvoiceRow = NonNullable<ReturnType<typeof useInvoices>["data"]>[number];

/** Reads the newest subscription with its plan; null when there never was one. */
export function useSubscription() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "subscription"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("subscriptions")
          .select(
            "id, status, current_period_start, current_period_end, trial_end, cancel_at, cancel_at_period_end, ended_at, plan_id, next_plan_id, ends_at, pause_behavior, billing_interval, unit_amount, currency, stripe_subscription_id, plan:subscription_plans!subscriptions_plan_fkey(id, name, unit_amount, currency, billing_interval, credits_per_period::text, rollover_cap::text, rollover_share::text), next_plan:subscription_plans!subscriptions_next_plan_fkey(name)",
          )
          .eq("organization_id", organizationId)
          .order("created_at", { ascending: false })
          .limit(1)
          .abortSignal(signal)
          .maybeSingle(),
      ),
  });
}

/** Reads whether the organization had a trial before: it has one, whatever the plan. */
export function useHadTrial() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "had_trial"),
    queryFn: async ({ signal }) => {
      const rows = await answerOf(
        schema
          .from("subscriptions")
          .select("id")
          .eq("organization_id", organizationId)
          .not("trial_start", "is", null)
          .limit(1)
          .abortSignal(signal),
      );
      return rows.length > 0;
    },
  });
}

/** A subscription as `useSubscription` gives it. */
export type SubscriptionRow = NonNullable<ReturnType<typeof useSubscription>["data"]>;

/** Reads refunds and disputes, newest first: what has gone back of which payment. */
export function useReversals() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "money", "reversals"),
    queryFn: async ({ signal }) => {
      const [refunds, disputes] = await Promise.all([
        answerOf(
          schema
            .from("refunds")
            .select("stripe_refund_id, stripe_payment_intent_id, amount, currency, status")
            .eq("organization_id", organizationId)
            .order("created_at", { ascending: false })
            .limit(REVERSALS_SHOWN)
            .abortSignal(signal),
        ),
        answerOf(
          schema
            .from("disputes")
            .select("stripe_dispute_id, stripe_payment_intent_id, amount, currency, status")
            .eq("organization_id", organizationId)
            .order("created_at", { ascending: false })
            .limit(REVERSALS_SHOWN)
            .abortSignal(signal),
        ),
      ]);
      return { refunds, disputes };
    },
  });
}

/** What `useReversals` gives. */
export type Reversals = NonNullable<ReturnType<typeof useReversals>["data"]>;
