/**
 * Bounds of libvirt's protocol (src/rpc/virnetprotocol.x and src/remote/remote_protocol.x). The decoder checks each
 * before it allocates, so that a hostile or broken peer cannot make us reserve memory for what it only announces.
 */

/** Largest message without its length word. libvirt refuses more since 1.0 (16 MiB) and 2.x (32 MiB). */
export const maxMessageBytes = 33_554_432;
/** Receive buffer before anything of a message has arrived; it grows fourfold as data comes. */
export const initialBufferBytes = 65_536;
export const lengthWordBytes = 4;
export const headerBytes = 24;
export const maxStringBytes = 4_194_304;

export const maxDomains = 16_384;
export const maxNetworks = 16_384;
export const maxSecrets = 16_384;
export const maxSecretValueBytes = 65_536;
export const maxAuthTypes = 20;
export const maxNodeMemoryStats = 16;
export const maxDhcpLeases = 65_536;
export const maxInterfaces = 2_048;
export const maxAddresses = 2_048;
/** One record's parameters; libvirt raised the bound from 4,096 in 9.x, so the newer one is allowed. */
export const maxStatsParameters = 262_144;
export const maxSendKeys = 16;
export const maxBlockCopyParameters = 16;
export const maxBlockTuneParameters = 32;

/** `max_client_requests` of libvirtd: what is in flight beyond it would only wait in the socket. */
export const defaultMaxInFlight = 5;
export const defaultMaxQueued = 1_000;
