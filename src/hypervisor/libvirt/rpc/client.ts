/**
 * libvirt's own RPC protocol in TypeScript: what the hypervisor driver builds on.
 *
 *   const client = createLibvirtClient({ uri: "qemu:///system", clock, random, logger });
 *   client.onState((state) => …);        // "connecting" | "connected" | "disconnected", each with its reason
 *   client.onDomainEvent((event) => …);  // typed, in order, never from inside a call; see events.ts
 *   await client.open();                 // first connection; fails fast when there is none, and goes on trying all the same
 *   await client.close();
 *
 * Calls, named as in libvirt's API, flags and enumerations in flags.ts, values in types.ts:
 *   host-calls.ts     connectGetVersion, connectGetLibVersion, connectGetHostname, connectGetURI,
 *                     connectGetCapabilities, connectGetDomainCapabilities, nodeGetInfo, nodeGetMemoryStats
 *   domain-calls.ts   connectListAllDomains, domainLookupByUuid, domainLookupByName, domainDefineXMLFlags,
 *                     domainUndefineFlags, domainCreateWithFlags, domainDestroyFlags, domainShutdownFlags, domainReboot,
 *                     domainReset, domainSuspend, domainResume, domainGetState, domainGetInfo, domainGetXMLDesc,
 *                     domainIsPersistent, domainSnapshotNum, domainGetAutostart, domainSetAutostart, domainRename,
 *                     domainGetJobInfo, domainAbortJob, connectGetAllDomainStats
 *   device-calls.ts   domainAttachDeviceFlags, domainDetachDeviceFlags, domainDetachDeviceAlias, domainUpdateDeviceFlags,
 *                     domainSetVcpusFlags, domainSetMemoryFlags, domainInterfaceAddresses, domainSetMetadata, domainGetMetadata, domainSendKey, domainScreenshot,
 *                     domainOpenConsole
 *   block-calls.ts    domainSnapshotCreateXML, domainBlockCopy, domainBlockCommit, domainGetBlockJobInfo,
 *                     domainBlockJobSetSpeed, domainBlockJobAbort, domainBlockResize, domainGetBlockInfo,
 *                     domainSetBlockIoTune
 *   network-calls.ts  connectListAllNetworks, networkLookupByName, networkLookupByUuid, networkDefineXML, networkCreate,
 *                     networkDestroy, networkUndefine, networkSetAutostart, networkGetXMLDesc, networkIsActive,
 *                     networkGetDHCPLeases
 *   secret-calls.ts   connectListAllSecrets, secretLookupByUuid, secretDefineXML, secretSetValue, secretUndefine
 *
 * What the caller must know:
 * - Domains are named by `{ uuid }` alone; nothing has to be looked up first.
 * - Every call takes `{ timeoutMs, signal }` last and has a limit without it. libvirt cannot take a call back: after a
 *   `timeout`, `canceled` or `unavailable` it may have been carried out (`context.callWasSent`); ask before repeating.
 * - While there is no connection, calls fail at once with `unavailable` and `retryAfterMs`. Reconnecting never ends until
 *   `close()`, with growing pauses. Events of the meantime are lost: on "connected", read everything anew.
 * - Errors that libvirt gives are LibvirtError (errors.ts): `libvirtCode` has its number, `code` ours.
 * - Figures, networks, secrets and each stream use connections of their own, opened when first needed.
 */

import type { Clock } from "../../../lib/clock.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Random } from "../../../lib/random.ts";
import { type BlockCalls, blockCalls } from "./block-calls.ts";
import { Connections } from "./connections.ts";
import { type DeviceCalls, deviceCalls } from "./device-calls.ts";
import { type DomainCalls, domainCalls } from "./domain-calls.ts";
import type { LibvirtDomainEvent } from "./events.ts";
import { type HostCalls, hostCalls } from "./host-calls.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import type { Backoff, ConnectionState } from "./link.ts";
import { type NetworkCalls, networkCalls } from "./network-calls.ts";
import { type SecretCalls, secretCalls } from "./secret-calls.ts";
import type { Connect } from "./transport.ts";

export type { ConnectionState } from "./link.ts";

export type LibvirtClientOptions = {
	/** `qemu:///system`, `test:///default`, `qemu+unix:///system?socket=PATH`, `test+unix:///default?socket=PATH`. */
	uri: string;
	clock: Clock;
	random: Random;
	logger: Logger;
	/** For connecting and the first calls (default 10 s). */
	openLimitMs?: number;
	keepalive?: KeepaliveOptions;
	backoff?: Backoff;
	/** Streams open at the same time (default 256). */
	maxStreams?: number;
	/** Another folder for libvirt's sockets, and another way to connect: for tests. */
	socketFolder?: string;
	connect?: Connect;
};

export interface LibvirtConnection {
	readonly state: ConnectionState;
	/** Starts connecting. Resolves when connected; rejects with `unavailable` when the first try fails, and goes on trying. */
	open(): Promise<void>;
	/** Ends all connections and streams; calls under way fail with `unavailable`. */
	close(): Promise<void>;
	/** Called on every change of the main connection. Returns the way to stop it. */
	onState(listener: (state: ConnectionState) => void): () => void;
	onDomainEvent(listener: (event: LibvirtDomainEvent) => void): () => void;
}

export type LibvirtClient = LibvirtConnection &
	HostCalls &
	DomainCalls &
	DeviceCalls &
	BlockCalls &
	NetworkCalls &
	SecretCalls;

/** Fails with `invalid` for a URI that is none of ours. Nothing is connected before `open()` or the first call. */
export function createLibvirtClient(options: LibvirtClientOptions): LibvirtClient {
	const connections = new Connections(options);
	return {
		get state() {
			return connections.state;
		},
		open: () => connections.open(),
		close: () => connections.close(),
		onState: (listener) => connections.states.listen(listener),
		onDomainEvent: (listener) => connections.events.listen(listener),
		...hostCalls(connections),
		...domainCalls(connections),
		...deviceCalls(connections),
		...blockCalls(connections),
		...networkCalls(connections),
		...secretCalls(connections),
	};
}
