/** The page's own colours for Stripe's form, which sits in a frame and inherits none. */

import type { Appearance } from "@stripe/stripe-js";
import { useEffect, useState } from "react";

const DARK = "(prefers-color-scheme: dark)";
const TOKENS = {
  colorPrimary: "primary",
  colorBackground: "card",
  colorText: "foreground",
  colorTextSecondary: "muted-foreground",
  colorDanger: "danger",
} as const;

/** What the page looks like now; changes when the person's system turns light or dark. */
export function useStripeAppearance(): Appearance {
  const [appearance, setAppearance] = useState(readAppearance);
  useEffect(() => {
    const scheme = window.matchMedia(DARK);
    const read = () => setAppearance(readAppearance());
    scheme.addEventListener("change", read);
    return () => scheme.removeEventListener("change", read);
  }, []);
  return appearance;
}

function readAppearance(): Appearance {
  const probe = document.createElement("span");
  document.body.append(probe);
  const style = getComputedStyle(probe);
  const variables: NonNullable<Appearance["variables"]> = {
    fontFamily: style.fontFamily,
    fontSizeBase: "16px",
    borderRadius: "6px",
  };
  for (const [name, token] of Object.entries(TOKENS)) {
    probe.style.color = `var(--${token})`;
    variables[name as keyof typeof TOKENS] = style.color;
  }
  probe.remove();
  return { theme: isDark(variables.colorBackground ?? "") ? "night" : "stripe", variables };
}

/** Whether a computed colour, such as `rgb(21, 28, 36)`, is nearer to black than to white. */
function isDark(colour: string): boolean {
  const channels =
    colour
      .match(/[\d.]+/g)
      ?.slice(0, 3)
      .map(Number) ?? [];
  return channels.length === 3 && channels.reduce((sum, channel) => sum + channel, 0) < 3 * 128;
}
