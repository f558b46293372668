// Frames of the twin's within the merchant's page, so that a card's number is never the page's to read.

/**
 * Makes a frame and listens to what it says.
 *
 * @param path - Of the twin.
 * @param title - Read out by screen readers.
 * @param hear - Called with each message of the frame.
 */
function makeFrame(path, title, hear) {
  const frame = document.createElement("iframe");
  frame.src = `${TWIN.origin}${path}`;
  frame.title = title;
  frame.style.border = "0";
  frame.style.display = "block";
  frame.style.width = "100%";
  const listen = (event) => {
    if (event.source === frame.contentWindow && event.origin === new URL(TWIN.origin).origin) hear(event.data ?? {});
  };
  window.addEventListener("message", listen);
  return {
    element: frame,
    say: (message) => frame.contentWindow?.postMessage(message, TWIN.origin),
    remove: () => {
      window.removeEventListener("message", listen);
      frame.remove();
    },
  };
}

/** Shows a bank's 3-D Secure page in a dialog over the merchant's page until the customer has answered, or has left it. */
function showChallenge(url) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const address = new URL(url);
    const frame = makeFrame(`${address.pathname}${address.search}&framed=1`, "Your bank's 3-D Secure page", (message) => {
      if (message.stripeTwin !== "answered") return;
      dialog.close();
      frame.remove();
      dialog.remove();
      resolve();
    });
    dialog.setAttribute("aria-label", "Confirm your payment with your bank");
    Object.assign(dialog.style, {
      background: "rgb(10 10 20 / 55%)",
      border: "0",
      height: "100dvh",
      inset: "0",
      margin: "0",
      maxHeight: "none",
      maxWidth: "none",
      padding: "0",
      pointerEvents: "auto",
      width: "100vw",
    });
    Object.assign(frame.element.style, {
      background: "Canvas",
      borderRadius: "0.75rem",
      height: "min(25rem, 100dvh - 2rem)",
      margin: "max(1rem, 50dvh - 12.5rem) auto 0",
      maxWidth: "30rem",
      width: "calc(100vw - 2rem)",
    });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault(); // leaving is an answer, too: the bank hears of it first
      frame.say({ stripeTwin: "leave" });
    });
    dialog.append(frame.element);
    document.body.append(dialog);
    dialog.showModal();
    frame.element.focus();
  });
}
