/** What the page is told at its start by whoever serves it: `/config.json`. It holds nothing that is not public. */

export interface AppConfig {
  readonly supabaseUrl: string;
  readonly supabasePublishableKey: string;
  readonly workersUrl: string;
  readonly stripePublishableKey: string;
  /** The script to load in place of Stripe's own: the twin's; empty with a real key. */
  readonly stripeScriptUrl: string;
  /** `mock`: the local stack with Stripe's twin; anything else: Stripe itself. */
  readonly mode: string;
}

/**
 * Reads the configuration.
 *
 * @throws Error when the file is missing or not as expected.
 */
export async function loadConfig(): Promise<AppConfig> {
  const response = await fetch("/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`config.json: HTTP ${response.status}`);
  return readConfig(await response.json());
}

/**
 * Checks a configuration. By hand, because a validation library would be loaded before the sign-in page for these five lines alone.
 *
 * @param value - The parsed file.
 * @throws Error naming the first field that is missing or no address.
 */
export function readConfig(value: unknown): AppConfig {
  const fields = new Map(Object.entries(value ?? {}));
  const text = (name: string, fallback?: string): string => {
    const field: unknown = fields.get(name) ?? fallback;
    if (typeof field !== "string") throw new Error(`config.json: ${name} is missing`);
    return field;
  };
  const address = (name: string): string => {
    const { origin, pathname } = new URL(text(name));
    return origin + pathname.replace(/\/$/, "");
  };
  return {
    supabaseUrl: address("supabaseUrl"),
    supabasePublishableKey: text("supabasePublishableKey"),
    workersUrl: address("workersUrl"),
    stripePublishableKey: text("stripePublishableKey", ""),
    stripeScriptUrl: text("stripeScriptUrl", ""),
    mode: text("mode", "stripe"),
  };
}
