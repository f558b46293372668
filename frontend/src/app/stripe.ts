/** Stripe.js, loaded from Stripe when a bank wants a payment confirmed, and not before. */

import type { ConfirmPayment } from "../billing/index.js";

/** The release that belongs to the API version of the workers' library; Stripe forbids serving it from elsewhere. */
const SCRIPT_URL = "https://js.stripe.com/endive/stripe.js";

interface StripeJs {
  confirmCardPayment(clientSecret: string, data: { readonly payment_method: string }): Promise<unknown>;
}

type StripeGlobal = (publishableKey: string) => StripeJs;

function stripeGlobal(): StripeGlobal | undefined {
  return (window as unknown as { Stripe?: StripeGlobal }).Stripe;
}

async function loadStripe(publishableKey: string): Promise<StripeJs> {
  if (stripeGlobal() === undefined) {
    await new Promise<void>((resolve, reject) => {
      const script = document.createElement("script");
      script.src = SCRIPT_URL;
      script.onload = () => resolve();
      script.onerror = () => {
        script.remove();
        reject(new Error("Stripe.js could not be loaded"));
      };
      document.head.append(script);
    });
  }
  const stripe = stripeGlobal();
  if (stripe === undefined) throw new Error("Stripe.js could not be loaded");
  return stripe(publishableKey);
}

/**
 * Makes the function that lets a bank ask its customer (3-D Secure).
 *
 * @param publishableKey - Stripe's; none with the local twin, which has no Stripe.js.
 * @returns Nothing when there is no key: then the page offers to buy by hand.
 */
export function paymentConfirmation(publishableKey: string): ConfirmPayment | undefined {
  if (publishableKey === "") return undefined;
  return async ({ clientSecret, paymentMethodId }) => {
    const stripe = await loadStripe(publishableKey);
    // The answer is the bank's to us by way of the worker, which reads the payment itself; what the browser says is not asked.
    await stripe.confirmCardPayment(clientSecret, { payment_method: paymentMethodId });
  };
}
