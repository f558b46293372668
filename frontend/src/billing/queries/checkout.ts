/** Buying: opening a checkout, coming back from it, and the customer portal. */

import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { z } from "zod/mini";
import { answerOf } from "../client.js";
import { useBilling } from "../context.js";
import { BillingError } from "../errors.js";
import { queryKey } from "../query_keys.js";
import { redirectAnswer, useWorkers } from "../workers.js";

const POLL_MS = 1_500;
const QUICK_POLLS = 20;
const SLOW_POLL_MS = 10_000;
const SLOW_AFTER_MS = 30_000;

/** What a checkout has come to, as our own rows tell it. */
export type CheckoutState =
  | "open"
  | "processing"
  | "pending"
  | "succeeded"
  | "failed"
  | "expired"
  | "unknown";

/** Opens Stripe's page for a pack and sends the browser there. */
export function useBuyPackage() {
  const { organizationId, checkoutReturnUrl } = useBilling();
  const callWorker = useWorkers();
  return useMutation({
    mutationFn: async (packageId: string) => {
      const body = {
        organization_id: organizationId,
        package_id: packageId,
        ...(checkoutReturnUrl === undefined ? {} : returnAddresses(checkoutReturnUrl)),
      };
      const { url } = await callWorker("create_checkout_session", body, redirectAnswer);
      window.location.assign(url);
    },
  });
}

const paymentFormAnswer = z.object({
  session_id: z.string(),
  client_secret: z.string(),
  allow_promotion_codes: z.boolean(),
});

/**
 * Opens a checkout for a pack that is paid on this page, in Stripe's form; opening it again gives the same one while it is open.
 *
 * @param packageId - The pack.
 */
export function usePaymentForm(packageId: string) {
  const { organizationId, checkoutReturnUrl } = useBilling();
  const callWorker = useWorkers();
  return useQuery({
    queryKey: queryKey(organizationId, "once", "payment_form", packageId),
    queryFn: async () => {
      const body = {
        organization_id: organizationId,
        package_id: packageId,
        ui_mode: "elements",
        ...(checkoutReturnUrl === undefined ? {} : returnAddresses(checkoutReturnUrl)),
      };
      const answer = await callWorker("create_checkout_session", body, paymentFormAnswer);
      return {
        sessionId: answer.session_id,
        clientSecret: answer.client_secret,
        takesPromotionCodes: answer.allow_promotion_codes,
      };
    },
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
}

/** The worker adds the session's id to the first; the second says by itself that nothing was bought. */
export function returnAddresses(returnUrl: string): { success_url: string; cancel_url: string } {
  const canceled = new URL(returnUrl);
  canceled.searchParams.set("canceled", "1");
  return { success_url: returnUrl, cancel_url: canceled.href };
}

/** A task at which Stripe's portal can be opened; those of the plan need a live subscription. */
export type PortalFlow = "payment_method_update" | "subscription_cancel" | "subscription_update";

/**
 * Opens Stripe's customer portal and sends the browser there.
 *
 * @param flow - The one task to open it at; its front page when left out.
 */
export function useOpenPortal(flow?: PortalFlow) {
  const { organizationId } = useBilling();
  const callWorker = useWorkers();
  return useMutation({
    mutationFn: async () => {
      const body = {
        organization_id: organizationId,
        return_url: window.location.href,
        ...(flow === undefined ? {} : { flow }),
      };
      const { url } = await callWorker("create_portal_session", body, redirectAnswer);
      window.location.assign(url);
    },
  });
}

/**
 * Follows a checkout after the browser has come back: asks once that it be fulfilled, then reads our own rows until they are final.
 * The webhook may be first or last; both lead to the same one grant.
 *
 * @param stripeSessionId - From the address that Stripe returned to.
 */
export function useCheckoutStatus(stripeSessionId: string) {
  const { schema, organizationId } = useBilling();
  const callWorker = useWorkers();
  const fulfilment = useQuery({
    queryKey: queryKey(organizationId, "once", "fulfilment", stripeSessionId),
    queryFn: () => callWorker("fulfil_checkout", { session_id: stripeSessionId }, z.unknown()),
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
    retry: (failures, error) => failures < 3 && error instanceof BillingError && error.status >= 500,
  });
  const rows = useQuery({
    queryKey: queryKey(organizationId, "money", "checkout", stripeSessionId),
    queryFn: async ({ signal }) => {
      const [checkout, payment] = await Promise.all([
        answerOf(
          schema
            .from("checkout_sessions")
            .select("id, status, mode, credits::text, url")
            .eq("organization_id", organizationId)
            .eq("stripe_session_id", stripeSessionId)
            .abortSignal(signal)
            .maybeSingle(),
        ),
        answerOf(
          schema
            .from("payments")
            .select("id, status, amount, currency, credits::text, receipt_url, failure_message")
            .eq("organization_id", organizationId)
            .eq("stripe_session_id", stripeSessionId)
            .abortSignal(signal)
            .maybeSingle(),
        ),
      ]);
      return { checkout, payment, state: stateOf(checkout, payment) };
    },
    refetchInterval: ({ state }) => {
      if (isFinal(state.data?.state)) return false;
      return state.dataUpdateCount > QUICK_POLLS ? SLOW_POLL_MS : POLL_MS;
    },
  });
  const isSettled = fulfilment.isSuccess || fulfilment.isError;
  const found = rows.data?.state;
  const isUnasked = (found === "unknown" && !isSettled) || (found === "open" && !fulfilment.isSuccess);
  const state = isUnasked ? "processing" : found;
  return { rows, state, isSlow: useHasPassed(SLOW_AFTER_MS) && !isFinal(state) };
}

/** True once that many milliseconds have passed since the component appeared. */
function useHasPassed(milliseconds: number): boolean {
  const [hasPassed, setHasPassed] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setHasPassed(true), milliseconds);
    return () => clearTimeout(timer);
  }, [milliseconds]);
  return hasPassed;
}

/** Tells the state from our own rows: a pack is bought when its payment has succeeded, never before. */
export function stateOf(
  checkout: { readonly status: string; readonly mode: string } | null,
  payment: { readonly status: string } | null,
): CheckoutState {
  if (checkout === null) return "unknown";
  if (payment !== null && PAID.has(payment.status)) return "succeeded";
  if (checkout.status === "failed" || payment?.status === "failed" || payment?.status === "canceled")
    return "failed";
  if (checkout.status === "expired") return "expired";
  if (checkout.status === "complete" && checkout.mode !== "payment") return "succeeded";
  if (checkout.status === "processing") return "pending";
  if (checkout.status === "open") return "open";
  return "processing";
}

const PAID: ReadonlySet<string> = new Set(["succeeded", "partially_refunded", "refunded"]);

function isFinal(state: CheckoutState | undefined): boolean {
  return state === "succeeded" || state === "failed" || state === "expired";
}
