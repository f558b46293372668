// The Payment Element: a frame that takes cards and bank accounts and gives out payment methods.

/** What both kinds of elements do: listeners by the name of their event. */
class Listeners {
  #heard = new Map();

  add(event, handler, isOnce = false) {
    const entries = this.#heard.get(event) ?? [];
    this.#heard.set(event, [...entries, { handler, isOnce }]);
  }

  remove(event, handler) {
    const entries = this.#heard.get(event) ?? [];
    this.#heard.set(event, handler === undefined ? [] : entries.filter((entry) => entry.handler !== handler));
  }

  tell(event, value) {
    const entries = this.#heard.get(event) ?? [];
    this.#heard.set(
      event,
      entries.filter((entry) => !entry.isOnce),
    );
    for (const { handler } of entries) handler(value);
  }
}

class PaymentElement {
  #facts;
  #frame = null;
  #isReady = false;
  #listeners = new Listeners();
  #onGone;
  #options;
  #requests = 0;
  #waiting = new Map();
  #state = { complete: false, empty: true, type: "card" };

  /**
   * @param facts - A promise of what the frame has to know: types, saved cards, hints, key.
   * @param options - Of the merchant's page.
   * @param onGone - Called when the element is destroyed.
   */
  constructor(facts, options, onGone) {
    this.#facts = facts;
    this.#options = options ?? {};
    this.#onGone = onGone;
  }

  get isComplete() {
    return this.#state.complete;
  }

  mount(target) {
    const place = typeof target === "string" ? document.querySelector(target) : target;
    if (!place) throw integrationError(`The selector you specified (${target}) applies to no DOM elements that are currently on the page.`);
    this.unmount();
    this.#frame = makeFrame("/elements/payment", "Secure payment input frame", (message) => this.#hear(message));
    // The frame has a margin of its own for the outline of what is focused.
    Object.assign(this.#frame.element.style, { height: "16rem", margin: "-4px", width: "calc(100% + 8px)" });
    place.replaceChildren(this.#frame.element);
    return this;
  }

  unmount() {
    this.#frame?.remove();
    this.#frame = null;
    this.#isReady = false;
    return this;
  }

  destroy() {
    this.unmount();
    this.#onGone();
    return this;
  }

  on(event, handler) {
    this.#listeners.add(event, handler);
    if (event === "ready" && this.#isReady) queueMicrotask(() => handler({ elementType: "payment" }));
    return this;
  }

  once(event, handler) {
    this.#listeners.add(event, handler, true);
    return this;
  }

  off(event, handler) {
    this.#listeners.remove(event, handler);
    return this;
  }

  update(options) {
    this.#options = { ...this.#options, ...options };
    this.#frame?.say({ stripeTwin: "options", options: this.#options });
    return this;
  }

  /** Colours and shapes of the merchant's page, for the frame. */
  paint(appearance) {
    this.#frame?.say({ stripeTwin: "appearance", appearance });
  }

  focus() {
    this.#frame?.element.focus();
    this.#frame?.say({ stripeTwin: "focus" });
  }

  blur() {
    this.#frame?.element.blur();
  }

  clear() {
    this.#frame?.say({ stripeTwin: "clear" });
  }

  collapse() {}

  /** Checks what was entered and shows what is wrong; answers `{}` or `{ error }`. */
  validate() {
    return this.#ask("validate");
  }

  /** Makes the payment method; answers `{ paymentMethod, save }` or `{ error }`. */
  collect() {
    return this.#ask("collect");
  }

  #ask(what) {
    if (!this.#isReady) return Promise.resolve({ error: { type: "validation_error", message: "The payment form is still loading." } });
    return new Promise((resolve) => {
      this.#requests += 1;
      const request = this.#requests;
      this.#waiting.set(request, resolve);
      this.#frame.say({ stripeTwin: what, request });
    });
  }

  async #hear(message) {
    switch (message.stripeTwin) {
      case "loaded": {
        this.#listeners.tell("loaderstart", { elementType: "payment" });
        try {
          const facts = await this.#facts;
          this.#frame?.say({ stripeTwin: "setup", facts, options: this.#options });
        } catch (error) {
          this.#listeners.tell("loaderror", { elementType: "payment", error });
        }
        break;
      }
      case "ready":
        this.#isReady = true;
        this.#listeners.tell("ready", { elementType: "payment" });
        break;
      case "height":
        if (this.#frame !== null) this.#frame.element.style.height = `${message.pixels}px`;
        break;
      case "change":
        this.#state = message.state;
        this.#listeners.tell("change", {
          elementType: "payment",
          collapsed: false,
          complete: message.state.complete,
          empty: message.state.empty,
          value: { type: message.state.type },
        });
        break;
      case "focus":
      case "blur":
      case "escape":
        this.#listeners.tell(message.stripeTwin, { elementType: "payment" });
        break;
      case "result":
        this.#waiting.get(message.request)?.(message.result);
        this.#waiting.delete(message.request);
        break;
    }
  }
}
