/** A real VM, its consoles through a node that does not have it. */
import { expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { executablePath, startLabDaemon } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "./free-port.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { openVnc } from "./picture.ts";

const limitMs = 400_000;
const password = "correct horse battery";
const statusOf = async ({ api }: LabSystem) => (await api.call("clusterStatusGet").catch(() => null))?.body;
const nodeArguments = (name: string, port: number) => [...["--node-name", name, "--peer-listen", `127.0.0.1:${port}`]];

test(
	"screen, serial line, picture and log of a VM through another node, until it stops",
	async () => {
		const [port, otherPort] = [await freePort(), await freePort()];
		await using system = await startLabSystem({ name: "cluster-console", arguments: nodeArguments("node-1", port) });
		const other = await startLabDaemon({
			libvirtUri: "qemu+unix:///system?socket=/nonexistent/libvirt-sock",
			arguments: nodeArguments("node-2", otherPort),
		});
		try {
			const cli = (runDir: string, ...words: string[]) =>
				run(executablePath, [...words, "--run-dir", runDir], { timeoutMs: 60_000 });
			const address = `127.0.0.1:${port}`;
			await cli(system.daemon.runDir, "cluster", "init", "--name", "lab", "--address", address);
			const { secret } = (await system.api.call("joinTokenCreate", { body: {} })).body;
			const given = ["--token", secret, "--address", `127.0.0.1:${otherPort}`, "--rename", "--yes"];
			await cli(other.runDir, "cluster", "join", address, ...given, "--no-wait");
			const vm = await system.createVm({ name: "far" });
			await waitUntil("the other node to know the VM", 60_000, async () => {
				const { items } = (await other.api.call("vmList").catch(() => ({ body: { items: [] } }))).body;
				return items.some(({ id }) => id === vm.id);
			});
			expect(vm.nodeId).not.toBe((await other.api.call("healthGet")).body.nodeId);
			const through: LabSystem = { ...system, daemon: other, api: other.api };

			const terminal = new GuestTerminal(through, vm.id);
			await terminal.booted();
			expect(await terminal.run("echo Far-$((6*7))")).toBe("Far-42");
			const picture = await other.api.call("vmScreenshotGet", { path: { id: vm.id } });
			expect((await picture.body.bytes()).subarray(1, 4)).toEqual(new TextEncoder().encode("PNG"));
			const figures = await waitUntil("figures of the VM", 30_000, () =>
				other.api.call("vmMetricsGet", { path: { id: vm.id } }).catch(() => undefined),
			);
			expect(figures.body.memoryUsedBytes).not.toBe(0);

			const vnc = await openVnc(through, vm.id);
			await vnc.typeText("echo Typed-$((6*9)) > /dev/ttyS0\n");
			await terminal.says("Typed-54");
			await system.done(await system.api.call("vmStop", { path: { id: vm.id } }));
			expect(present(await vnc.closed, "how it ended")).toBeNumber();

			// Without a quorum: what is open goes on, another console opens, and root on the host cuts the power.
			const own = new GuestTerminal(system, vm.id);
			const from = await own.mark();
			await system.done(await system.api.call("vmStart", { path: { id: vm.id } }));
			await own.booted(from);
			for (const name of ["viewer", "operator"] as const)
				await system.api.call("userCreate", { body: { name, role: name, password } });
			await waitUntil("two voters", 60_000, async () => (await statusOf(system))?.voterCount === 2);
			await other.kill9();
			await waitUntil("the quorum to be missed", 60_000, async () => (await statusOf(system))?.quorum === false);
			expect(await own.run("echo Alone-$((6*8))")).toBe("Alone-48");
			const screen = await openVnc(system, vm.id);
			await screen.typeText("echo Still-$((6*6)) > /dev/ttyS0\n");
			await own.says("Still-36");
			// By role, with the password alone: the others cannot be asked.
			const { daemon } = system;
			for (const [name, viewOnly] of [
				["viewer", true],
				["operator", false],
			] as const) {
				const ask = (method: string, path: string, body: unknown, token?: string) =>
					fetch(`http://localhost${path}`, {
						...{ method, unix: daemon.socketPath, keepalive: false },
						...(body === null ? {} : { body: JSON.stringify(body) }),
						headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
					} as RequestInit);
				const signedIn = await ask("POST", "/v1/sessions", { username: name, password });
				expect([name, signedIn.status]).toEqual([name, 201]);
				const { token } = (await signedIn.json()) as { token: string };
				const wanted = { kind: "native", type: "vnc", viewOnly: false };
				const ticket = await ask("POST", `/v1/vms/${vm.id}/console-tickets`, wanted, token);
				const given = (await ticket.json()) as { viewOnly: boolean };
				expect([name, ticket.status, given.viewOnly]).toEqual([name, 201, viewOnly]);
				const stop = await ask("POST", `/v1/vms/${vm.id}/actions/stop`, null, token);
				expect([name, stop.status]).toEqual([name, name === "viewer" ? 403 : 503]);
			}
			const refused = system.api.call("vmPause", { path: { id: vm.id } });
			await expect(refused).rejects.toMatchObject({ code: "unavailable" });
			const { body: stopped } = await system.api.call("vmStop", { path: { id: vm.id } });
			expect([stopped.state, stopped.kind]).toEqual(["succeeded", "vm.stop"]);
			expect(present(await screen.closed, "how it ended")).toBeNumber();
		} finally {
			await other.stop();
		}
	},
	limitMs,
);
