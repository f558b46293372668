// Calls of the API with the publishable key. Nothing here needs a preflight, as with Stripe's own script.

/** Writes nested values as Stripe's forms do: `{a: {b: 1}}` is `a[b]=1`; what is undefined or null is left out. */
function pairsOf(value, prefix = "") {
  if (value === undefined || value === null) return [];
  if (typeof value !== "object") return [[prefix, String(value)]];
  return Object.entries(value).flatMap(([name, inner]) =>
    pairsOf(inner, prefix === "" ? name : `${prefix}[${name}]`),
  );
}

/**
 * Makes a call and returns the object answered.
 *
 * @throws the error in the shape of the API's `error`, for `result.error`.
 */
async function call(key, method, path, params = {}) {
  const pairs = new URLSearchParams(pairsOf({ ...params, key, _stripe_version: TWIN.version }));
  const url = `${TWIN.origin}/v1/${path}`;
  let body;
  try {
    const response = method === "GET" ? await fetch(`${url}?${pairs}`) : await fetch(url, { method, body: pairs });
    body = await response.json();
  } catch {
    throw {
      type: "api_connection_error",
      message: "We are experiencing issues connecting to our payments provider. Please check your internet connection and try again.",
    };
  }
  if (body.error !== undefined) throw body.error;
  return body;
}

/** Runs a call whose outcome the merchant's page reads as `{ [name]: object }` or `{ error }`; a mistake of the page is thrown. */
async function resultOf(name, promise) {
  try {
    return { [name]: await promise };
  } catch (error) {
    if (error instanceof Error) throw error;
    return { error };
  }
}

/** A mistake in the merchant's page, which Stripe.js throws instead of answering. */
function integrationError(message) {
  const error = new Error(message);
  error.name = "IntegrationError";
  return error;
}

/** The id inside of a client secret, such as `pi_1` of `pi_1_secret_x`. */
function idOf(clientSecret) {
  const [id, rest] = String(clientSecret).split("_secret_");
  if (!id || !rest) throw integrationError(`Invalid value for clientSecret: ${clientSecret}`);
  return id;
}
