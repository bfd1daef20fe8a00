/** Calls that change or ask about a domain's devices, CPUs, memory, metadata, screen and console. Errors as in domain-calls.ts. */
import { assert } from "../../../lib/assert.ts";
import { type Caller, nothing, quickMs, slowMs } from "./caller.ts";
import { keyCodeSet, metadataType } from "./flags.ts";
import { maxAddresses, maxInterfaces, maxSendKeys } from "./limits.ts";
import type { ProcedureName } from "./protocol.ts";
import type { ByteStream } from "./stream.ts";
import type { CallOptions, DomainInterface, DomainTarget, InterfaceAddress } from "./types.ts";
import { writeDomain } from "./values.ts";
import type { XdrReader } from "./xdr-reader.ts";
import type { XdrWriter } from "./xdr-writer.ts";

export const deviceCalls = (caller: Caller) => {
	/** A call with the domain, further arguments and flags, that returns nothing. */
	const change = (
		procedure: ProcedureName,
		domain: DomainTarget,
		write: (writer: XdrWriter) => void,
		flags: number,
		options: CallOptions | undefined,
	): Promise<void> =>
		caller.call(
			{
				procedure,
				write: (w) => {
					writeDomain(w, domain);
					write(w);
					w.uint(flags);
				},
				read: nothing,
				timeoutMs: slowMs,
			},
			options,
		);

	return {
		/** `flags`: `deviceFlags`. */
		domainAttachDeviceFlags: (domain: DomainTarget, xml: string, flags: number, options?: CallOptions): Promise<void> =>
			change("domainAttachDeviceFlags", domain, (w) => w.string(xml), flags, options),

		/** Live removal is asked of the guest: wait for the event `device-removed` or `device-removal-failed`. */
		domainDetachDeviceFlags: (domain: DomainTarget, xml: string, flags: number, options?: CallOptions): Promise<void> =>
			change("domainDetachDeviceFlags", domain, (w) => w.string(xml), flags, options),

		/**
		 * As domainDetachDeviceFlags; the call returns once the guest was asked. An alias that is not there is `hypervisor`
		 * (libvirt 9 says "internal error"): look into the XML first.
		 */
		domainDetachDeviceAlias: (
			domain: DomainTarget,
			alias: string,
			flags: number,
			options?: CallOptions,
		): Promise<void> => change("domainDetachDeviceAlias", domain, (w) => w.string(alias), flags, options),

		/** Changes media of a CD-ROM, link state of a NIC, the graphics password and the like. */
		domainUpdateDeviceFlags: (domain: DomainTarget, xml: string, flags: number, options?: CallOptions): Promise<void> =>
			change("domainUpdateDeviceFlags", domain, (w) => w.string(xml), flags, options),

		/** `flags`: `vcpuFlags`. */
		domainSetVcpusFlags: (domain: DomainTarget, vcpus: number, flags: number, options?: CallOptions): Promise<void> =>
			change("domainSetVcpusFlags", domain, (w) => w.uint(vcpus), flags, options),

		/** `memoryBytes` is rounded down to KiB. `flags`: `memoryFlags`. */
		domainSetMemoryFlags: (
			domain: DomainTarget,
			memoryBytes: number,
			flags: number,
			options?: CallOptions,
		): Promise<void> =>
			change("domainSetMemoryFlags", domain, (w) => w.uhyper(Math.floor(memoryBytes / 1024)), flags, options),

		/** `source`: `addressSource`. The agent may take seconds to answer. */
		domainInterfaceAddresses: (
			domain: DomainTarget,
			source: number,
			options?: CallOptions,
		): Promise<DomainInterface[]> =>
			caller.call(
				{
					procedure: "domainInterfaceAddresses",
					write: (w) => {
						writeDomain(w, domain);
						w.uint(source);
						w.uint(0);
					},
					read: (r) => r.array(maxInterfaces, () => readInterface(r)),
					timeoutMs: quickMs,
				},
				options,
			),

		/** Sets (or with null removes) our XML element under the namespace `uri`. `flags`: `affect`. */
		domainSetMetadata: (
			domain: DomainTarget,
			metadata: { xml: string | null; key: string; uri: string },
			flags: number,
			options?: CallOptions,
		): Promise<void> =>
			change(
				"domainSetMetadata",
				domain,
				(w) => {
					w.int(metadataType.element);
					w.optionalString(metadata.xml);
					w.optionalString(metadata.key);
					w.optionalString(metadata.uri);
				},
				flags,
				options,
			),

		/** The XML element under the namespace `uri`; `not-found` when there is none. */
		domainGetMetadata: (domain: DomainTarget, uri: string, flags: number, options?: CallOptions): Promise<string> =>
			caller.call(
				{
					procedure: "domainGetMetadata",
					write: (w) => {
						writeDomain(w, domain);
						w.int(metadataType.element);
						w.optionalString(uri);
						w.uint(flags);
					},
					read: (r) => r.string(),
					timeoutMs: quickMs,
				},
				options,
			),

		/** Presses up to 16 keys at once for `holdMs`. `codeSet`: `keyCodeSet`. */
		domainSendKey: (
			domain: DomainTarget,
			keyCodes: readonly number[],
			holdMs: number,
			codeSet: number = keyCodeSet.linux,
			options?: CallOptions,
		): Promise<void> => {
			assert(keyCodes.length > 0 && keyCodes.length <= maxSendKeys, "1 to 16 keys can be sent at once");
			return change(
				"domainSendKey",
				domain,
				(w) => {
					w.uint(codeSet);
					w.uint(holdMs);
					w.array(keyCodes, maxSendKeys, (code) => w.uint(code));
				},
				0,
				options,
			);
		},

		/** The picture of `screen`; libvirt says its type (image/png, or image/x-portable-pixmap from an older QEMU). */
		domainScreenshot: async (
			domain: DomainTarget,
			screen = 0,
			options?: CallOptions,
		): Promise<{ mimeType: string; stream: ByteStream }> => {
			const { result, stream } = await caller.openStream(
				{
					procedure: "domainScreenshot",
					write: (w) => {
						writeDomain(w, domain);
						w.uint(screen);
						w.uint(0);
					},
					read: (r) => r.optionalString(),
					timeoutMs: slowMs,
				},
				options,
			);
			return { mimeType: result ?? "application/octet-stream", stream };
		},

		/** `device`: alias of a serial or console device, null for the first. `flags`: `consoleFlags`. */
		domainOpenConsole: async (
			domain: DomainTarget,
			device: string | null,
			flags: number,
			options?: CallOptions,
		): Promise<ByteStream> => {
			const { stream } = await caller.openStream(
				{
					procedure: "domainOpenConsole",
					write: (w) => {
						writeDomain(w, domain);
						w.optionalString(device);
						w.uint(flags);
					},
					read: nothing,
					timeoutMs: quickMs,
				},
				options,
			);
			return stream;
		},
	};
};
export type DeviceCalls = ReturnType<typeof deviceCalls>;

function readInterface(r: XdrReader): DomainInterface {
	const name = r.string();
	const mac = r.optionalString();
	const addresses = r.array(maxAddresses, (): InterfaceAddress => {
		const family = r.int() === 1 ? "ipv6" : "ipv4";
		return { family, address: r.string(), prefix: r.uint() };
	});
	return { name, mac, addresses };
}
