/** The dashboard's tab about what moved, and what is left of what came in. A chunk of its own. */

import type { ReactNode } from "react";
import { CreditGrants } from "./credit_grants.js";
import { Ledger } from "./ledger.js";

/** Grants with credits left, then every movement. */
export default function ActivityTab(): ReactNode {
  return (
    <div className="space-y-4">
      <CreditGrants />
      <Ledger />
    </div>
  );
}
