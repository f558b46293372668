/** Buttons and links that look like buttons. */

import type { AnchorHTMLAttributes, ButtonHTMLAttributes, ReactNode } from "react";

type Variant = "primary" | "secondary" | "danger" | "quiet";

const BASE =
  "inline-flex min-h-9 items-center justify-center gap-2 rounded-md px-3.5 py-1.5 text-sm font-medium motion-safe:transition-colors disabled:opacity-60";
const VARIANTS: Readonly<Record<Variant, string>> = {
  primary: "bg-primary text-primary-foreground hover:bg-primary-hover",
  secondary: "border border-input bg-card text-foreground hover:bg-muted",
  danger: "border border-danger bg-card text-danger hover:bg-danger-soft",
  quiet: "text-primary hover:bg-muted",
};

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  variant?: Variant;
}

/** A button; `secondary` unless said otherwise. */
export function Button({
  variant = "secondary",
  className = "",
  type = "button",
  ...rest
}: ButtonProps): ReactNode {
  return <button type={type} className={`${BASE} ${VARIANTS[variant]} ${className}`} {...rest} />;
}

/** A link that looks like a button. */
export function ButtonLink({
  variant = "secondary",
  className = "",
  children,
  ...rest
}: AnchorHTMLAttributes<HTMLAnchorElement> & { variant?: Variant }): ReactNode {
  return (
    <a className={`${BASE} ${VARIANTS[variant]} ${className}`} {...rest}>
      {children}
    </a>
  );
}
