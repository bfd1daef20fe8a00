/** The sections of the side bar: used by it, by the palette and by the shortcuts. */
import { Boxes, Database, Disc3, LayoutDashboard, Monitor, Network, ShieldCheck } from "lucide-preact";
import type { Icon } from "../components/icons.ts";
import { href } from "../routes.ts";
import { frame as t } from "../strings/frame.ts";

export type Section = { id: string; label: string; address: string; icon: Icon; keys: string; shortcut: string };

export const sections: readonly Section[] = [
	{
		id: "overview",
		label: t.overview,
		address: href("overview"),
		icon: LayoutDashboard,
		keys: "g o",
		shortcut: t.shortcuts.goOverview,
	},
	{ id: "vms", label: t.vms, address: href("vms"), icon: Monitor, keys: "g v", shortcut: t.shortcuts.goVms },
	{
		id: "storage",
		label: t.storage,
		address: href("storage"),
		icon: Database,
		keys: "g s",
		shortcut: t.shortcuts.goStorage,
	},
	{
		id: "networks",
		label: t.networks,
		address: href("networks"),
		icon: Network,
		keys: "g n",
		shortcut: t.shortcuts.goNetworks,
	},
	{ id: "images", label: t.images, address: href("images"), icon: Disc3, keys: "g i", shortcut: t.shortcuts.goImages },
	{
		id: "cluster",
		label: t.cluster,
		address: href("cluster"),
		icon: Boxes,
		keys: "g c",
		shortcut: t.shortcuts.goCluster,
	},
	{
		id: "administration",
		label: t.administration,
		address: href("administration", {}),
		icon: ShieldCheck,
		keys: "g a",
		shortcut: t.shortcuts.goAdministration,
	},
];

/** Which section a path is in. */
export function sectionOf(path: string): string {
	if (path === "/") return "overview";
	return (
		sections.find(({ address }) => address !== "/" && (path === address || path.startsWith(`${address}/`)))?.id ?? ""
	);
}
