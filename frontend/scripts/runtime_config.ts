/**
 * Serves `/config.json` while developing (`npm run dev`, `npm run preview`) from the environment that `make env` prints.
 * In production whoever serves the built page serves this file beside it.
 */

import type { ServerResponse } from "node:http";
import type { Connect, Plugin } from "vite";

function answer(_request: Connect.IncomingMessage, response: ServerResponse): void {
  const environment = process.env;
  const isMock = !environment.STRIPE_SECRET_KEY;
  const twinUrl = environment.STRIPE_TWIN_URL ?? "http://127.0.0.1:12111";
  response.setHeader("Content-Type", "application/json");
  response.end(
    JSON.stringify({
      supabaseUrl: environment.SUPABASE_URL ?? "http://127.0.0.1:54321",
      supabasePublishableKey: environment.SUPABASE_PUBLISHABLE_KEY ?? "",
      workersUrl: environment.WORKERS_URL ?? "http://127.0.0.1:8000",
      stripePublishableKey: isMock ? "pk_test_twin" : (environment.STRIPE_PUBLISHABLE_KEY ?? ""),
      stripeScriptUrl: isMock ? `${twinUrl}/v3/stripe.js` : "",
      mode: isMock ? "mock" : "stripe",
    }),
  );
}

/** The plugin for Vite's two servers. */
export function runtimeConfig(): Plugin {
  return {
    name: "tallybase-runtime-config",
    configureServer: (server) => void server.middlewares.use("/config.json", answer),
    configurePreviewServer: (server) => void server.middlewares.use("/config.json", answer),
  };
}
