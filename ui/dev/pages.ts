/** Every page of the UI with something on it: for the pictures and for the accessibility tests. */
import type { Page } from "playwright-core";
import { href } from "../routes.ts";
import type { MockServer } from "./mock/server.ts";

export type ShownPage = { name: string; path: string; prepare?: (page: Page) => Promise<void> };

/** Until the guest's picture is drawn. */
async function screenShown(page: Page): Promise<void> {
	await page.waitForFunction(() => {
		const canvas = document.querySelector<HTMLCanvasElement>(".console__screen canvas");
		const pixels = canvas?.width ? canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data : null;
		return pixels?.some((value, index) => index % 4 !== 3 && value > 0) ?? false;
	});
}

const isOff = ({ state }: MockServer, vmId: string | null): boolean =>
	vmId !== null && state.tables.vm.get(vmId)?.status.powerState === "stopped";

export function pagesToShow(server: MockServer): ShownPage[] {
	const { tables } = server.state;
	const first = <T>(values: Iterable<T>): T => {
		for (const value of values) return value;
		throw new Error("The mock is empty.");
	};
	const vmId = first([...tables.vm.values()].filter(({ status }) => status.powerState === "running")).id;
	const taken = new Set([...tables.snapshot.values()].map((snapshot) => snapshot.vmId));
	const withoutSnapshots = first([...tables.vm.keys()].filter((id) => !taken.has(id)));
	const poolId = first(tables.pool.keys());
	return [
		{ name: "overview", path: href("overview") },
		{ name: "welcome", path: href("welcome") },
		{ name: "vms", path: href("vms") },
		{ name: "vm-create", path: href("vmCreate") },
		...(["summary", "console", "disks", "snapshots", "network", "settings", "tasks", "log", "xml"] as const).map(
			(tab) => ({
				name: `vm-${tab}`,
				path: href("vm", { vmId, tab: tab === "summary" ? undefined : tab }),
				...(tab === "console" ? { prepare: screenShown } : {}),
			}),
		),
		{ name: "vm-snapshots-none", path: href("vm", { vmId: withoutSnapshots, tab: "snapshots" }) },
		{ name: "storage", path: href("storage") },
		{ name: "volumes", path: href("volumes") },
		{ name: "pool", path: href("pool", { poolId }) },
		{
			name: "pool-orphans",
			path: href("pool", { poolId, tab: "orphans" }),
			prepare: (page: Page) => page.getByText("Belongs to nothing").first().waitFor(),
		},
		...[...tables.pool.values()]
			.filter(({ type }) => type === "nfs" || type === "ceph-rbd")
			.map(({ id, type }) => ({ name: `pool-${type}`, path: href("pool", { poolId: id }) })),
		{ name: "pool-content", path: href("pool", { poolId, tab: "content" }) },
		{ name: "pool-content-volumes", path: href("pool", { poolId, tab: "content" }, { folder: "volumes" }) },
		...[...tables.pool.values()]
			.filter(({ type }) => type === "ceph-rbd")
			.map(({ id }) => ({ name: "pool-content-ceph-rbd", path: href("pool", { poolId: id, tab: "content" }) })),
		...(["Ceph RBD", "iSCSI with LVM"] as const).map((type) => ({
			name: `pool-create-${type.split(" ")[0]?.toLowerCase()}`,
			path: href("poolCreate"),
			prepare: async (page: Page) => {
				await page.getByRole("radio", { name: type }).check();
			},
		})),
		{ name: "volume", path: href("volume", { volumeId: first(tables.volume.keys()) }) },
		{
			name: "volume-checked",
			path: href("volume", {
				volumeId: first([...tables.volume.values()].filter(({ vmId }) => isOff(server, vmId))).id,
			}),
			prepare: async (page: Page) => {
				server.state.damaged.add(new URL(page.url()).pathname.split("/").at(-1) ?? "");
				await chosen(page, "Check for damage");
				await page.getByRole("button", { name: "Check", exact: true }).click();
				await page.getByText("Found 2 damaged structures").waitFor();
			},
		},
		{
			name: "volume-moving",
			path: href("volume", {
				volumeId: first(
					[...tables.volume.values()].filter(({ vmId }) => vmId !== null && !taken.has(vmId) && !isOff(server, vmId)),
				).id,
			}),
			prepare: async (page: Page) => {
				if (await page.getByText("To the pool").isVisible()) return;
				await chosen(page, "Move to another pool");
				await page.locator("dialog input[type=radio]:not([aria-disabled])").first().check();
				await page.getByRole("button", { name: "Move", exact: true }).click();
				await page.getByText("To the pool").waitFor();
			},
		},
		{
			name: "volume-flatten",
			path: href("volume", {
				volumeId: first([...tables.volume.values()].filter(({ vmId }) => isOff(server, vmId))).id,
			}),
			prepare: (page: Page) => chosen(page, "Make independent"),
		},
		{
			name: "volume-create",
			path: href("volumes"),
			prepare: (page: Page) => page.getByRole("button", { name: "Create volume" }).first().click(),
		},
		{ name: "networks", path: href("networks") },
		{ name: "network", path: href("network", { networkId: first(tables.network.keys()) }) },
		{
			name: "network-leases",
			path: href("network", { networkId: first(tables.network.keys()), tab: "leases" }),
		},
		{ name: "images", path: href("images") },
		{ name: "image", path: href("image", { imageId: first(tables.image.keys()) }) },
		{
			name: "image-copy",
			path: href("image", {
				imageId: first([...tables.image.values()].filter(({ phase, format }) => phase === "ready" && format !== "iso"))
					.id,
			}),
			prepare: (page: Page) => chosen(page, "Copy to pool"),
		},
		{ name: "cluster", path: href("cluster") },
		{ name: "node", path: href("node", { nodeId: first(tables.node.keys()) }) },
		{ name: "node-foreign", path: href("node", { nodeId: first(tables.node.keys()), tab: "foreign" }) },
		{ name: "tasks", path: href("tasks") },
		...(["users", "tokens", "sessions", "audit"] as const).map((tab) => ({
			name: `administration-${tab}`,
			path: href("administration", { tab }),
		})),
		{ name: "user", path: href("user", { userId: first(tables.user.keys()) }) },
		{ name: "token", path: href("token", { tokenId: first(tables.token.keys()) }) },
		{ name: "account", path: href("account") },
	];
}

/** From the menu of the page's object. */
async function chosen(page: Page, item: string): Promise<void> {
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: item }).click();
	await page.getByRole("dialog").waitFor();
}
