// `stripe.initCheckoutElementsSdk(...)`: a checkout session with ui_mode `elements`, paid within the merchant's page.

class CheckoutElements {
  #appearance;
  #defaults;
  #element = null;
  #key;
  #listeners = new Listeners();
  #page = null;
  #secret;

  constructor(key, { clientSecret, elementsOptions = {}, defaultValues = {} }) {
    this.#key = key;
    this.#appearance = elementsOptions.appearance;
    this.#defaults = defaultValues;
    this.#secret = Promise.resolve(clientSecret);
    this.#secret.catch(() => {}); // told by loadActions
  }

  /** The object that the merchant's page holds. */
  sdk() {
    const absent = (what) => () => {
      throw integrationError(`The Stripe twin has no ${what}.`);
    };
    return {
      on: (event, handler) => this.#listeners.add(event, handler),
      loadActions: () => this.#loadActions(),
      changeAppearance: (appearance) => {
        this.#appearance = appearance;
        this.#element?.paint(appearance);
      },
      loadFonts: () => {},
      createPaymentElement: (options) => this.#createElement(options),
      getPaymentElement: () => this.#element,
      createBillingAddressElement: absent("address element"),
      createShippingAddressElement: absent("address element"),
      createExpressCheckoutElement: absent("express checkout element"),
      createCurrencySelectorElement: absent("currency selector"),
      createContactDetailsElement: absent("contact details element"),
      createTaxIdElement: absent("tax id element"),
      createTermsElement: absent("terms element"),
      createLinkSignupElement: absent("link signup element"),
      getBillingAddressElement: () => null,
      getShippingAddressElement: () => null,
      getExpressCheckoutElement: () => null,
      getCurrencySelectorElement: () => null,
      getContactDetailsElement: () => null,
      getTaxIdElement: () => null,
      getTermsElement: () => null,
      getLinkSignupElement: () => null,
    };
  }

  async #loadActions() {
    try {
      await this.#read();
      const { email } = this.#defaults;
      if (email && this.#page.session.email === null) await this.#send("POST", "", { email });
    } catch (error) {
      return { type: "error", error: { message: error.message ?? String(error), code: null } };
    }
    return { type: "success", actions: this.#actions() };
  }

  async #read() {
    return this.#send("GET", "", {});
  }

  async #send(method, action, params) {
    const secret = await this.#secret;
    const path = `payment_pages/${idOf(secret)}${action}`;
    this.#page = await call(this.#key, method, path, { ...params, client_secret: secret });
    this.#tell();
    return this.#page;
  }

  #tell() {
    this.#listeners.tell("change", this.#session());
  }

  #session() {
    const isEntered = !this.#page.wants_payment_method || (this.#element?.isComplete ?? false);
    return { ...this.#page.session, canConfirm: this.#page.session.canConfirm && isEntered };
  }

  #createElement(options) {
    if (this.#element !== null) throw integrationError("Can only create one Payment Element in a checkout.");
    const facts = this.#facts();
    facts.catch(() => {}); // told by the element as `loaderror`
    this.#element = new PaymentElement(facts, options, () => {
      this.#element = null;
    });
    this.#element.on("change", () => this.#page !== null && this.#tell());
    return this.#element;
  }

  async #facts() {
    const page = this.#page ?? (await this.#read());
    return {
      accounts: page.accounts,
      appearance: this.#appearance,
      cards: page.cards,
      key: this.#key,
      offersSaving: page.offers_saving,
      saved: page.session.savedPaymentMethods ?? [],
      types: page.payment_method_types,
      version: TWIN.version,
    };
  }

  #actions() {
    const change = async (params) => {
      try {
        await this.#send("POST", "", params);
        return { type: "success", session: this.#session() };
      } catch (error) {
        const code = error.code === "promotion_code_invalid" ? "invalidCode" : null;
        return { type: "error", error: { message: error.message, code } };
      }
    };
    const absent = (what) => async () => ({
      type: "error",
      error: { message: `The Stripe twin has no ${what}.`, code: null },
    });
    return {
      getSession: () => this.#session(),
      applyPromotionCode: (word) => change({ promotion_code: word }),
      removePromotionCode: () => change({ promotion_code: "" }),
      updateEmail: (email) =>
        email === null || /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email)
          ? change({ email: email ?? "" })
          : Promise.resolve({ type: "error", error: { message: "Your email is invalid.", code: "invalidEmail" } }),
      updateIndividualName: (name) => change({ name: name ?? "" }),
      updateBillingAddress: (contact) => change({ address: contact?.address ?? {}, name: contact?.name ?? undefined }),
      updatePhoneNumber: () => change({}),
      updateBusinessName: () => change({}),
      updateShippingAddress: absent("shipping"),
      updateShippingOption: absent("shipping"),
      updateLineItemQuantity: absent("adjustable quantities"),
      updateTaxIdInfo: absent("tax ids"),
      addOptionalLineItem: absent("optional items"),
      removeOptionalLineItem: absent("optional items"),
      validateElements: () => this.#validate(),
      runServerUpdate: async (update) => {
        try {
          await update();
          await this.#read();
          return { type: "success", session: this.#session() };
        } catch (error) {
          return { type: "error", error: { message: error.message ?? String(error), code: null } };
        }
      },
      confirm: (options) => this.#confirm(options),
    };
  }

  async #validate() {
    const { error } = (await this.#element?.validate()) ?? {};
    if (error === undefined) return { type: "success", session: this.#session() };
    const mistake = { message: error.message, element: "payment" };
    return { type: "error", error: { code: "validation_error", message: error.message, validation_errors: [mistake] } };
  }

  async #confirm({ paymentMethod, savePaymentMethod, email, redirect = "always", returnUrl } = {}) {
    try {
      if (email !== undefined) await this.#send("POST", "", { email });
      const given = await this.#methodToUse(paymentMethod, savePaymentMethod);
      await this.#send("POST", "/confirm", { ...given, expected_amount: this.#page.session.total.total.minorUnitsAmount });
      const intent = this.#page.payment_intent ?? this.#page.setup_intent;
      if (intent?.status === "requires_action") {
        await afterChallenge(this.#key, intent);
        await this.#read();
      }
    } catch (error) {
      if (error instanceof Error) throw error;
      await this.#read().catch(() => {}); // the session may show why
      return { type: "error", error: confirmationError(error) };
    }
    if (redirect === "always") {
      window.location.assign(returnUrl ?? this.#page.return_url);
      return new Promise(() => {}); // the page is being left
    }
    return { type: "success", session: this.#session() };
  }

  async #methodToUse(known, save) {
    if (!this.#page.wants_payment_method) return {};
    if (known !== undefined) return { payment_method: known, save_payment_method: save };
    if (this.#element === null) throw integrationError("confirm() needs a mounted Payment Element.");
    const { error, paymentMethod, save: ticked } = await this.#element.collect();
    if (error !== undefined) throw error;
    return { payment_method: paymentMethod, save_payment_method: save ?? (ticked || undefined) };
  }
}

function confirmationError(error) {
  if (error.type !== "card_error") return { message: error.message, code: null };
  return { message: error.message, code: "paymentFailed", paymentFailed: { declineCode: error.decline_code ?? null } };
}
