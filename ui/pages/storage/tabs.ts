/** Pools and volumes are two lists of one section. */
import type { TabLink } from "../../components/page.tsx";
import { href } from "../../routes.ts";
import { storage as t } from "../../strings/storage.ts";

export const storageTabs: readonly TabLink[] = [
	{ id: "pools", label: t.pools, href: href("storage") },
	{ id: "volumes", label: t.volumes, href: href("volumes") },
];
