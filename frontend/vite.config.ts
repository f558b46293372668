/** Build, development server and tests of the page. */

import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { runtimeConfig } from "./scripts/runtime_config.js";

export default defineConfig({
  plugins: [react(), tailwindcss(), runtimeConfig()],
  build: { target: "es2023", outDir: "dist/app" },
  server: { port: 5173, strictPort: true },
  test: {
    include: ["src/**/*.test.{ts,tsx}", "scripts/**/*.test.ts"],
    restoreMocks: true,
  },
});
