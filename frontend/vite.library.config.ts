/** Build of `src/billing` as an ES module for other React applications; their types come from `tsc -p tsconfig.library.json`. */

import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import packageFile from "./package.json" with { type: "json" };

/** What the host brings along: everything that this package depends on. */
const external = Object.keys(packageFile.dependencies).map((name) => new RegExp(`^${name}(/|$)`));

export default defineConfig({
  plugins: [react(), tailwindcss()],
  publicDir: false,
  build: {
    target: "es2023",
    minify: false,
    outDir: "dist/library",
    cssCodeSplit: false,
    lib: {
      entry: { index: "src/billing/index.ts", styles: "src/billing/library_styles.ts" },
      formats: ["es"],
      cssFileName: "styles",
    },
    rolldownOptions: { external },
  },
});
