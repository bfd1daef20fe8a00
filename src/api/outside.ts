/** Where everybody reaches UI and API: one port, plain on loopback for tests, else with a certificate that is renewed in place. */
import { join } from "node:path";
import type { Config } from "../config.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { type Listener, listen, type ServerDeps } from "./server.ts";
import { loadOrMakeCertificate, type TlsFiles } from "./tls.ts";

const certificateCheckMs = 12 * 3_600_000;

type Tools = { clock: Clock; random: Random; logger: Logger };
export type Outside = { url: string; port: number; fingerprint: string | null; stop(): Promise<void> };

/** The listener for everybody. A certificate that is renewed takes over with a second listener on the same port. */
export async function openOutside(
	server: ServerDeps,
	config: Config,
	{ clock, random, logger }: Tools,
): Promise<Outside> {
	const { host, port } = config.listen;
	if (config.insecureHttp) {
		const plain = listen(server, { host, port, tls: null });
		return { url: plain.url, port: plain.port ?? port, fingerprint: null, stop: () => plain.stop(true) };
	}
	const load = () => loadOrMakeCertificate({ folder: join(config.dataDir, "tls"), clock, random });
	const open = (tls: TlsFiles, at: number): Listener => listen(server, { host, port: at, tls, reusePort: true });
	let current = await load();
	if (current.made) logger.info("a certificate was made", { fingerprint: current.fingerprint });
	// With reusePort another process's listener would be shared in silence: one without it finds out first.
	const alone = listen(server, { host, port, tls: current });
	await alone.stop(true);
	let listener = open(current, alone.port ?? port);
	const timer = setInterval(async () => {
		try {
			const next = await load();
			if (next.fingerprint === current.fingerprint) return;
			const before = listener;
			listener = open(next, before.port ?? port);
			current = next;
			await before.stop(false);
			logger.info("another certificate is in use", { fingerprint: next.fingerprint });
		} catch (error) {
			logger.warn("the certificate could not be renewed; the one before stays in use", { error });
		}
	}, certificateCheckMs);
	timer.unref();
	return {
		url: listener.url,
		port: listener.port ?? port,
		fingerprint: current.fingerprint,
		async stop() {
			clearInterval(timer);
			await listener.stop(true);
		},
	};
}
