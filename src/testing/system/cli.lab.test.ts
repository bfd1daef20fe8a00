/** The command line as a program of its own, with real terminals and pipes, against the built node and a real VM. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { executablePath } from "../lab/daemon.ts";
import { guestReadyLine } from "../lab/guest-image.ts";
import { VncClient } from "../lab/vnc-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";

const limitMs = 240_000;
const commandLimitMs = 120_000;
const newPassword = "a rather long password";

let system: LabSystem;
let home: string;
beforeAll(async () => {
	system = await startLabSystem({ name: "cli", tls: true });
	await system.network();
	home = mkdtempSync(join(tmpdir(), "lqx-cli-"));
}, 120_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	rmSync(home, { recursive: true, force: true });
});

const environment = (local: boolean): Record<string, string> => ({
	HOME: home,
	PATH: process.env.PATH ?? "",
	TERM: "xterm",
	XDG_CONFIG_HOME: "",
	...(local ? { LIMIQUANTIX_RUN_DIR: system.daemon.runDir } : {}),
});

/** As root on the node; what it printed. */
async function lqx(...words: string[]): Promise<string> {
	const { stdout } = await run(executablePath, words, {
		timeoutMs: commandLimitMs,
		environment: environment(true),
		cwd: home,
	});
	return stdout;
}
const json = async (...words: string[]) => JSON.parse(await lqx(...words, "--output", "json"));

/** The program on a terminal of its own. */
function onTerminal(words: readonly string[], options: { local?: boolean } = {}) {
	let seen = "";
	const decoder = new TextDecoder();
	const child = Bun.spawn([executablePath, ...words], {
		cwd: home,
		env: environment(options.local ?? true),
		terminal: {
			cols: 100,
			rows: 30,
			data(self, data) {
				const text = decoder.decode(data, { stream: true });
				seen += text;
				// "Where is the cursor?": the guest's shell asks, and a terminal answers.
				if (text.includes("\u001b[6n")) self.write("\u001b[1;1R");
			},
		},
	});
	const terminal = present(child.terminal, "the terminal");
	return {
		text: () => seen,
		type: (text: string) => terminal.write(text),
		async says(what: string | RegExp, limitMs = 30_000): Promise<string> {
			const wanted = typeof what === "string" ? new RegExp(RegExp.escape(what)) : what;
			return waitUntil(`the terminal to show ${what}`, limitMs, () => (wanted.test(seen) ? seen : undefined)).catch(
				(error: unknown) => {
					throw new Error(`It shows ${JSON.stringify(seen.slice(-600))}`, { cause: error });
				},
			);
		},
		async ended(): Promise<number> {
			const late = setTimeout(() => child.kill("SIGKILL"), 30_000);
			const code = await child.exited;
			clearTimeout(late);
			terminal.close();
			return code;
		},
	};
}

test(
	"a VM from an image file, its console in a terminal, its screen in a viewer, its disk in a file",
	async () => {
		await lqx("image", "upload", system.guest.qcow2Path, "--name", "guest");
		const image = await json("image", "show", "guest");
		expect(image).toMatchObject({ phase: "ready", format: "qcow2" });

		const create = [
			"vm",
			"create",
			"web",
			"--image",
			"guest",
			"--memory",
			"256MiB",
			"--cpus",
			"1",
			"--firmware",
			"bios",
		];
		const vm = await json(...create, "--network", "lab");
		expect(vm.status).toMatchObject({ powerState: "running" });

		const console = onTerminal(["vm", "console", "web"]);
		await console.says("Connected to web");
		await console.says(guestReadyLine, 90_000);
		console.type("\r");
		await console.says("# ");
		console.type("echo Hello-$((6*7))\r");
		await console.says(/Hello-42[\s\S]*# /);
		// Ctrl-C goes to the guest, to a program that says itself that it runs: one that is only being forked may miss it.
		console.type("sh -c 'echo Asleep-$((6*9)); exec sleep 1000'\r");
		await console.says("Asleep-54");
		console.type("\u0003");
		await console.says(/Asleep-54[\s\S]*# /);
		console.type("echo Woken-$((6*8))\r");
		await console.says("Woken-48");
		console.type("\u001d");
		expect(await console.ended()).toBe(0);
		expect(await lqx("vm", "serial-log", "web")).toContain("Hello-42");

		const vnc = onTerminal(["vm", "vnc", "web"]);
		const port = Number(/127\.0\.0\.1:(\d+)/.exec(await vnc.says("Connect a VNC viewer"))?.[1]);
		const viewer = await VncClient.connect({ host: "127.0.0.1", port });
		await viewer.waitForScreen((screen) => screen.countDistinctColours() >= 5, 20_000);
		await viewer.close();
		vnc.type("\u0003");
		expect(await vnc.ended()).toBe(0);

		const picture = join(home, "web.png");
		await lqx("vm", "screenshot", "web", picture);
		expect(statSync(picture).size).toBeGreaterThan(100);

		await lqx("vm", "shutdown", "web", "--grace", "60s");
		const [volume] = await json("volume", "list", "--vm", "web");
		const file = join(home, "disk.qcow2");
		await lqx("volume", "download", volume.id, file);
		const { stdout } = await run("qemu-img", ["info", "--output=json", "-f", "qcow2", file], { timeoutMs: 30_000 });
		expect(JSON.parse(stdout)).toMatchObject({ format: "qcow2", "virtual-size": volume.sizeBytes });
		expect(JSON.parse(stdout)["backing-filename"]).toBeUndefined();

		const asked = onTerminal(["vm", "delete", "web"]);
		await asked.says("[y/N]");
		asked.type("y\r");
		expect(await asked.ended()).toBe(0);
		expect(await lqx("vm", "list", "--quiet")).toBe("");
	},
	limitMs,
);

test(
	"signing in from another machine: fingerprint, password without echo, another password, out again",
	async () => {
		const { url, fingerprint } = system.daemon;
		const refused = onTerminal(["login", "--server", url, "-u", "admin"], { local: false });
		expect(await refused.ended()).toBe(1);
		expect(refused.text()).toContain(fingerprint);

		const first = system.daemon.initialPassword();
		const login = onTerminal(["login", "--server", url, "-u", "admin", "--fingerprint", fingerprint], { local: false });
		await login.says("Password of admin");
		login.type(`${first}\r`);
		expect(await login.ended()).toBe(0);
		expect(login.text()).not.toContain(first);
		expect(login.text()).toContain("limiquantix me password");

		const change = onTerminal(["me", "password"], { local: false });
		for (const [question, answer] of [
			["Current password: ", first],
			["New password: ", newPassword],
			["The same again: ", newPassword],
		] as const) {
			await change.says(question);
			change.type(`${answer}\r`);
		}
		expect(await change.ended()).toBe(0);
		expect(change.text()).not.toContain(newPassword);

		const list = onTerminal(["vm", "list"], { local: false });
		expect(await list.ended()).toBe(0);
		expect(list.text()).toContain("\u001b[1mNAME");
		const out = onTerminal(["logout"], { local: false });
		expect(await out.ended()).toBe(0);
		const after = onTerminal(["vm", "list", "--server", url, "--fingerprint", fingerprint], { local: false });
		expect(await after.ended()).toBe(1);
	},
	limitMs,
);

test(
	"pipes, Ctrl-C and a node that is gone",
	async () => {
		// A reader that stops early is no error.
		const { stdout } = await run("sh", ["-c", '"$0" openapi | head -c 100', executablePath], {
			timeoutMs: 30_000,
			environment: environment(true),
		});
		expect(stdout).toHaveLength(100);

		const watching = onTerminal(["event", "watch"]);
		await lqx("cluster", "rename", "one");
		let number = 0;
		await waitUntil("an event", 20_000, async () => {
			number += 1;
			await lqx("cluster", "rename", `name-${number}`);
			return watching.text().includes("cluster") || undefined;
		});
		watching.type("\u0003");
		expect(await watching.ended()).toBe(0);

		await system.daemon.term();
		const gone = onTerminal(["vm", "list"]);
		expect(await gone.ended()).toBe(3);
		await system.daemon.start();
		expect(await lqx("health")).toContain("quorum");
	},
	limitMs,
);
