/** Stripe.js, loaded when somebody pays on this page or a bank wants a payment confirmed, and not before. */

import type { LoadStripe } from "../billing/index.js";

/**
 * Makes the function that loads Stripe.js, once.
 *
 * @param publishableKey - Stripe's; any of test mode with the local twin.
 * @param scriptUrl - The twin's script; empty for Stripe's own, which Stripe forbids serving from elsewhere.
 * @returns Nothing when there is no key: then people pay on Stripe's page only.
 */
export function stripeLoader(publishableKey: string, scriptUrl: string): LoadStripe | undefined {
  if (publishableKey === "") return undefined;
  let loading: ReturnType<LoadStripe> | undefined;
  return () => {
    loading ??= load(publishableKey, scriptUrl).catch((error: unknown) => {
      loading = undefined; // another attempt may succeed
      throw error;
    });
    return loading;
  };
}

async function load(publishableKey: string, scriptUrl: string): ReturnType<LoadStripe> {
  const { loadStripe } = await import("@stripe/stripe-js/pure");
  // The package is content with the `window.Stripe` that it finds.
  if (scriptUrl !== "") await addScript(scriptUrl);
  const stripe = await loadStripe(publishableKey);
  if (stripe === null) throw new Error("Stripe.js could not be loaded");
  return stripe;
}

function addScript(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve();
    script.onerror = () => {
      script.remove();
      reject(new Error("Stripe.js could not be loaded"));
    };
    document.head.append(script);
  });
}
