/** What the typed calls need of a connection. Implemented by LibvirtClient, which picks the connection by route. */
import type { ProcedureName } from "./protocol.ts";
import type { ByteStream } from "./stream.ts";
import type { CallOptions } from "./types.ts";
import type { XdrReader } from "./xdr-reader.ts";
import type { XdrWriter } from "./xdr-writer.ts";

/** Statistics have their own connection; networks and secrets have their own daemons when libvirt is modular. */
export type Route = "main" | "statistics" | "network" | "secret";

export type Call<T> = {
	procedure: ProcedureName;
	/** Writes the arguments; missing when there are none. */
	write?: (writer: XdrWriter) => void;
	/** Reads the result. */
	read: (reader: XdrReader) => T;
	route?: Route;
	/** Default limit of this procedure, when the caller gives none. */
	timeoutMs?: number;
};

export interface Caller {
	call<T>(call: Call<T>, options?: CallOptions): Promise<T>;
	/** Runs a call that opens a stream, on a connection of its own that ends with the stream. */
	openStream<T>(call: Call<T>, options?: CallOptions): Promise<{ result: T; stream: ByteStream }>;
}

export const nothing = (): void => {};
/** For calls that libvirt answers from its own tables. */
export const quickMs = 15_000;
/** For calls that start, stop or change a QEMU process, or wait for a guest. */
export const slowMs = 120_000;
