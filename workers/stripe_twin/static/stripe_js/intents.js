// PaymentIntents and SetupIntents: confirming them, and letting the bank ask.

const KINDS = {
  payment_intent: { path: "payment_intents", result: "paymentIntent", lastError: "last_payment_error" },
  setup_intent: { path: "setup_intents", result: "setupIntent", lastError: "last_setup_error" },
};

function kindOf(clientSecret) {
  return KINDS[idOf(clientSecret).startsWith("seti_") ? "setup_intent" : "payment_intent"];
}

function readIntent(key, clientSecret) {
  return call(key, "GET", `${kindOf(clientSecret).path}/${idOf(clientSecret)}`, { client_secret: clientSecret });
}

/** The refusal that an intent carries, for `result.error`; null when there is none. */
function refusalOf(intent) {
  const kind = KINDS[intent.object];
  const refusal = intent[kind.lastError];
  if (!refusal || intent.status !== "requires_payment_method") return null;
  return { ...refusal, [intent.object]: intent };
}

/** Shows the challenge of an intent that asks for one and returns the intent as it is afterwards; throws its refusal. */
async function afterChallenge(key, intent) {
  const asks = intent.status === "requires_action" ? intent.next_action : null;
  const page = asks?.use_stripe_sdk?.stripe_js ?? asks?.redirect_to_url?.url;
  if (!page) return intent;
  await showChallenge(page);
  const answered = await readIntent(key, intent.client_secret);
  const refusal = refusalOf(answered);
  if (refusal !== null) throw refusal;
  return answered;
}

async function confirmIntent(key, clientSecret, params) {
  const kind = kindOf(clientSecret);
  const confirmed = await call(key, "POST", `${kind.path}/${idOf(clientSecret)}/confirm`, {
    ...params,
    client_secret: clientSecret,
    use_stripe_sdk: true,
  });
  return afterChallenge(key, confirmed);
}

/** The address of a return page, with what Stripe adds to it. */
function returnAddress(url, intent) {
  const address = new URL(url);
  address.searchParams.set(intent.object, intent.id);
  address.searchParams.set(`${intent.object}_client_secret`, intent.client_secret);
  address.searchParams.set("redirect_status", intent.status === "requires_payment_method" ? "failed" : "succeeded");
  return address.href;
}

/** `confirmPayment` and `confirmSetup`: with Elements, or with a payment method that is known already. */
async function confirmWith(key, { elements, clientSecret, confirmParams = {}, redirect = "always" }) {
  const secret = clientSecret ?? elements?.clientSecret;
  if (secret === undefined) throw integrationError("You must pass a clientSecret, or elements that were created with one.");
  const { payment_method: known, return_url: returnUrl, ...more } = confirmParams;
  if (redirect === "always" && !returnUrl) throw integrationError("confirmParams.return_url is required when redirect is always.");
  let method = known;
  if (method === undefined) {
    const { error, paymentMethod } = (await elements?.collect()) ?? {};
    if (error !== undefined) throw error;
    method = paymentMethod;
  }
  const { payment_method_data: _data, ...params } = more;
  const intent = await confirmIntent(key, secret, { ...params, payment_method: method });
  if (redirect === "always") {
    window.location.assign(returnAddress(returnUrl, intent));
    return new Promise(() => {}); // the page is being left
  }
  return intent;
}

/** The methods of a Stripe object that are about intents and payment methods. */
function intentMethods(key) {
  const confirmKnown = (result) => (clientSecret, data = {}, options = {}) => {
    const params = { payment_method: data.payment_method, return_url: data.return_url };
    if (params.payment_method !== undefined && typeof params.payment_method !== "string") {
      throw integrationError("The Stripe twin takes the id of a payment method here; enter a new card in a Payment Element.");
    }
    const kind = kindOf(clientSecret);
    const confirmed =
      options.handleActions === false
        ? call(key, "POST", `${kind.path}/${idOf(clientSecret)}/confirm`, { ...params, client_secret: clientSecret })
        : confirmIntent(key, clientSecret, params);
    return resultOf(result, confirmed);
  };
  return {
    confirmPayment: (options) => resultOf("paymentIntent", confirmWith(key, options)),
    confirmSetup: (options) => resultOf("setupIntent", confirmWith(key, options)),
    confirmCardPayment: confirmKnown("paymentIntent"),
    confirmCardSetup: confirmKnown("setupIntent"),
    async handleNextAction({ clientSecret }) {
      const { result } = kindOf(clientSecret);
      return resultOf(
        result,
        readIntent(key, clientSecret).then((intent) => afterChallenge(key, intent)),
      );
    },
    handleCardAction: (clientSecret) =>
      resultOf(
        "paymentIntent",
        readIntent(key, clientSecret).then((intent) => afterChallenge(key, intent)),
      ),
    retrievePaymentIntent: (clientSecret) => resultOf("paymentIntent", readIntent(key, clientSecret)),
    retrieveSetupIntent: (clientSecret) => resultOf("setupIntent", readIntent(key, clientSecret)),
    async createPaymentMethod({ elements, element }) {
      const source = elements ?? element;
      if (source === undefined) throw integrationError("Pass the elements in which the customer entered the card.");
      const { error, object } = await source.collect();
      return error === undefined ? { paymentMethod: object } : { error };
    },
    async createToken() {
      throw integrationError("The Stripe twin makes payment methods, not tokens: use createPaymentMethod.");
    },
  };
}
