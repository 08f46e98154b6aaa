/* The part of the border that is about secrets: digests, signatures and encryption, of OpenSSL. Part of moongate.h: the same rules hold. */
#pragma once
#include <stdint.h>

enum { MG_DIGEST_MAX = 64, MG_SEAL_KEY = 32, MG_SEAL_NONCE = 12, MG_SEAL_TAG = 16 };

/* The digest of a text by "sha1", "sha256", "sha384" or "sha512": its length, or -EINVAL (another name). */
int32_t mg_digest(const char *name, const char *text, uint32_t bytes, char ret[64]);
/* HMAC (RFC 2104) with such a digest. */
int32_t mg_hmac(const char *name, const char *key, uint32_t key_bytes, const char *text, uint32_t bytes, char ret[64]);
/* AES-256-GCM: `bytes` and a tag of 16 go to `ret`; `with` is authenticated, too. The length, or -EINVAL. */
int32_t mg_seal(const char *key, const char *nonce, const char *with, uint32_t with_bytes, const char *text, uint32_t bytes, char *ret);
/* Its opposite: the length, or -EBADMSG: it was not sealed with this key, or changed since. */
int32_t mg_unseal(const char *key, const char *nonce, const char *with, uint32_t with_bytes, const char *sealed, uint32_t bytes, char *ret);
/* 1: equal. Takes the same time wherever they differ. */
int32_t mg_same(const char *a, const char *b, uint32_t bytes);
/* Base64 (RFC 4648 §4, or §5 without padding when `url`): the length written to `ret` (≥ 4 bytes for each 3, rounded up). */
uint32_t mg_base64(const char *bytes, uint32_t count, int32_t url, char *ret);
/* Its opposite, padded or not: the length, or -EINVAL: other characters, an impossible length, or bits that mean nothing. */
int32_t mg_base64_read(const char *text, uint32_t bytes, int32_t url, char *ret);
/* HTTP dates: 29 bytes; -1 when it is none. */
void mg_date(double unix_second, char ret[29]);
double mg_date_read(const char *text, uint32_t bytes);
