// `window.Stripe`: what `loadStripe` of `@stripe/stripe-js` finds.

/**
 * Makes the object that web pages work with.
 *
 * @param key - Any key that begins with `pk_test_`: the twin knows no accounts.
 */
function Stripe(key) {
  if (typeof key !== "string" || !key.startsWith("pk_test_")) {
    throw integrationError("This is the local Stripe twin: it takes publishable keys that begin with pk_test_, and no others.");
  }
  const absent = (what) => () => {
    throw integrationError(`The Stripe twin has no ${what}.`);
  };
  return {
    ...intentMethods(key),
    elements: (options = {}) => new Elements(key, options),
    initCheckoutElementsSdk: (options) => new CheckoutElements(key, options).sdk(),
    initCheckoutFormSdk: absent("checkout form"),
    createEmbeddedCheckoutPage: absent("embedded checkout page"),
    registerAppInfo: () => {},
    _registerWrapper: () => {},
  };
}
Stripe.version = TWIN.release;
window.Stripe = Stripe;
