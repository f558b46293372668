// `stripe.elements(...)`: a Payment Element for one PaymentIntent or SetupIntent.

const BANK_OF_CURRENCY = { eur: "sepa_debit", usd: "us_bank_account" };

class Elements {
  #element = null;
  #facts;
  #key;
  #options;

  constructor(key, options) {
    this.#key = key;
    this.#options = { ...options };
    this.#facts = this.#read();
    this.#facts.catch(() => {}); // told by the element as `loaderror`
  }

  get clientSecret() {
    return this.#options.clientSecret;
  }

  async #read() {
    const { clientSecret, currency, mode, appearance, locale } = this.#options;
    const known = { accounts: [], cards: [], key: this.#key, offersSaving: false, saved: [], version: TWIN.version };
    if (clientSecret !== undefined) {
      const intent = await readIntent(this.#key, clientSecret);
      return { ...known, appearance, locale, types: intent.payment_method_types };
    }
    const bank = mode === "setup" ? undefined : BANK_OF_CURRENCY[currency];
    return { ...known, appearance, locale, types: this.#options.paymentMethodTypes ?? ["card", ...(bank ? [bank] : [])] };
  }

  create(type, options) {
    if (type !== "payment") throw integrationError(`The Stripe twin has no element of the type ${type}; it has payment.`);
    if (this.#element !== null) throw integrationError("Can only create one Element of type payment.");
    this.#element = new PaymentElement(this.#facts, options, () => {
      this.#element = null;
    });
    return this.#element;
  }

  getElement(type) {
    return type === "payment" || type === PaymentElement ? this.#element : null;
  }

  update(options) {
    this.#options = { ...this.#options, ...options };
    if (options.appearance !== undefined) this.#element?.paint(options.appearance);
  }

  async fetchUpdates() {
    return {};
  }

  /** Checks what was entered, before a deferred intent is made. */
  async submit() {
    if (this.#element === null) throw integrationError("elements.submit() needs a mounted Payment Element.");
    const { error } = await this.#element.validate();
    return error === undefined ? { selectedPaymentMethod: "card" } : { error };
  }

  /** Makes the payment method of what was entered. */
  async collect() {
    if (this.#element === null) throw integrationError("elements should have a mounted Payment Element.");
    return this.#element.collect();
  }
}
