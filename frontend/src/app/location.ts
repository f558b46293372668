/** The page's address as state: a few paths need no router. */

import { useSyncExternalStore } from "react";

export const SECTIONS = ["billing", "keys", "members", "general"] as const;
export type Section = (typeof SECTIONS)[number];

/** Where the address leads. */
export type Place =
  | { readonly kind: "start" }
  | { readonly kind: "invitation" }
  | { readonly kind: "operations" }
  | {
      readonly kind: "checkout_return";
      readonly organizationId: string | null;
      readonly sessionId: string | null;
      /** A card was to be saved, and nothing bought. */
      readonly isSetup: boolean;
    }
  | {
      readonly kind: "organization";
      readonly organizationId: string;
      readonly section: Section;
      readonly view: string | null;
      readonly isTopUpAsked: boolean;
    };

/** Where those who run the platform look. */
export const OPERATIONS_PATH = "/operations";

const ORGANIZATION_PATH = /^\/organizations\/([0-9a-f-]{36})(?:\/([a-z]+))?\/?$/;

/**
 * Reads an address.
 *
 * @param path - Path and query, such as `/organizations/…/billing?view=usage`.
 */
export function placeOf(path: string): Place {
  const url = new URL(path, "http://page.invalid");
  const query = url.searchParams;
  if (url.pathname === "/billing/return") {
    const sessionId = query.get("canceled") === "1" ? null : query.get("session_id");
    return {
      kind: "checkout_return",
      organizationId: query.get("organization"),
      sessionId,
      isSetup: query.get("setup") === "1",
    };
  }
  if (url.pathname === "/invitation") return { kind: "invitation" };
  if (url.pathname === OPERATIONS_PATH) return { kind: "operations" };
  const match = ORGANIZATION_PATH.exec(url.pathname);
  if (match?.[1] === undefined) return { kind: "start" };
  return {
    kind: "organization",
    organizationId: match[1],
    section: SECTIONS.find((section) => section === match[2]) ?? "billing",
    view: query.get("view"),
    isTopUpAsked: query.get("topup") === "1",
  };
}

/** Writes the address of an organization's section. */
export function organizationPath(organizationId: string, section: Section, view?: string): string {
  const query = view === undefined ? "" : `?view=${encodeURIComponent(view)}`;
  return `/organizations/${organizationId}/${section}${query}`;
}

const MOVED = "tallybase:moved";

/**
 * Goes to another address of this page.
 *
 * @param path - Path and query.
 * @param isReplacing - Takes the place of the present entry in the history.
 */
export function navigate(path: string, isReplacing = false): void {
  if (isReplacing) window.history.replaceState(null, "", path);
  else window.history.pushState(null, "", path);
  window.dispatchEvent(new Event(MOVED));
}

/** The present path and query; changes with the address. */
export function usePath(): string {
  return useSyncExternalStore(subscribe, () => window.location.pathname + window.location.search);
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(MOVED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(MOVED, listener);
  };
}
