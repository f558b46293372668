/** `OrganizationSettings`: an organization's sections, Billing among them, kept in the address. */

import type { ReactNode } from "react";
import { AgentKeys, BillingDashboard, DASHBOARD_TABS } from "../billing/index.js";
import { Tabs } from "../billing/ui/tabs.js";
import { General } from "./general.js";
import { navigate, organizationPath, type Place, SECTIONS, type Section } from "./location.js";
import { Members } from "./members.js";
import { texts } from "./messages.js";
import type { OrganizationRow } from "./organizations.js";

export interface OrganizationSettingsProps {
  organization: OrganizationRow;
  place: Place;
}

/** The settings page of one organization. */
export function OrganizationSettings({ organization, place }: OrganizationSettingsProps): ReactNode {
  const organizationId = organization.organization_id;
  const section = place.kind === "organization" ? place.section : "billing";
  const view = place.kind === "organization" ? place.view : null;
  const contents: Readonly<Record<Section, ReactNode>> = {
    billing: (
      <BillingDashboard
        tab={DASHBOARD_TABS.find((tab) => tab === view) ?? "overview"}
        onTabChange={(tab) => navigate(organizationPath(organizationId, "billing", tab))}
        isTopUpAsked={place.kind === "organization" && place.isTopUpAsked}
      />
    ),
    keys: <AgentKeys />,
    members: <Members />,
    general: <General organization={organization} />,
  };
  return (
    <Tabs
      label={texts.settings.label}
      value={section}
      onValueChange={(value) =>
        navigate(organizationPath(organizationId, SECTIONS.find((known) => known === value) ?? "billing"))
      }
      tabs={SECTIONS.map((value) => ({
        value,
        label: texts.settings.sections[value],
        content: contents[value],
      }))}
    />
  );
}
