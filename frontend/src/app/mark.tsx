/** The product's name and mark. */

import type { ReactNode } from "react";
import { texts } from "./messages.js";

/** Four strokes and one across: a tally. */
export function Mark(): ReactNode {
  return (
    <span className="flex items-center gap-2 font-semibold tracking-tight">
      <svg aria-hidden="true" viewBox="0 0 24 24" className="size-6 text-primary">
        <path
          d="M5 5v14M9.5 5v14M14 5v14M18.5 5v14M2 16 22 8"
          fill="none"
          stroke="currentColor"
          strokeWidth="2.2"
          strokeLinecap="round"
        />
      </svg>
      {texts.product}
    </span>
  );
}
