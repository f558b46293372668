/** Tabs whose choice the caller holds, so that it can live in an address. */

import { Content, List, Root, Trigger } from "@radix-ui/react-tabs";
import type { ReactNode } from "react";

export interface TabsProps {
  label: string;
  value: string;
  onValueChange: (value: string) => void;
  tabs: readonly { readonly value: string; readonly label: string; readonly content: ReactNode }[];
  /** Stands at the right of the tabs. */
  aside?: ReactNode;
  /** `line` for a page's sections, `pill` for tabs within one. */
  look?: Look;
}

type Look = "line" | "pill";

const BARS: Readonly<Record<Look, string>> = { line: "border-b", pill: "" };
const LISTS: Readonly<Record<Look, string>> = {
  line: "-mb-px flex flex-wrap gap-x-1",
  pill: "flex flex-wrap gap-1",
};
const TRIGGERS: Readonly<Record<Look, string>> = {
  line: "border-b-2 border-transparent px-3 py-2 data-[state=active]:border-primary",
  pill: "rounded-md px-3 py-1.5 hover:bg-muted data-[state=active]:bg-card data-[state=active]:ring-1 data-[state=active]:ring-border",
};

/** Tabs with their panels; only the chosen panel is rendered. */
export function Tabs({ label, value, onValueChange, tabs, aside, look = "line" }: TabsProps): ReactNode {
  return (
    <Root value={value} onValueChange={onValueChange}>
      <div className={`flex flex-wrap items-center justify-between gap-x-4 ${BARS[look]}`}>
        <List aria-label={label} className={LISTS[look]}>
          {tabs.map((tab) => (
            <Trigger
              key={tab.value}
              value={tab.value}
              className={`text-sm font-medium text-muted-foreground hover:text-foreground data-[state=active]:text-foreground ${TRIGGERS[look]}`}
            >
              {tab.label}
            </Trigger>
          ))}
        </List>
        {aside === undefined ? null : <div className="py-2">{aside}</div>}
      </div>
      {tabs.map((tab) => (
        <Content key={tab.value} value={tab.value} className="pt-4 focus-visible:outline-offset-4">
          {tab.value === value ? tab.content : null}
        </Content>
      ))}
    </Root>
  );
}
