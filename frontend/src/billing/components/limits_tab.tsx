/** The dashboard's tab about limits and the spends that they stop. A chunk of its own: loaded when it is first shown. */

import type { ReactNode } from "react";
import { Approvals } from "./approvals.js";
import { DepartmentLimits } from "./department_limits.js";

/** Approvals first, since somebody waits for them. */
export default function LimitsTab(): ReactNode {
  return (
    <div className="space-y-4">
      <Approvals />
      <DepartmentLimits />
    </div>
  );
}
