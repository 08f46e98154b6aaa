/* Secrets: what OpenSSL's libcrypto does, behind plain functions. */
#include "abi/crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "http/render.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- digests ---- */

static const EVP_MD *digest_of(const char *name)
{
    static const struct {
        const char *name;
        const EVP_MD *(*digest)(void);
    } digests[] = { { "sha256", EVP_sha256 }, { "sha1", EVP_sha1 }, { "sha512", EVP_sha512 }, { "sha384", EVP_sha384 } };
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++)
        if (strcmp(digests[i].name, name) == 0)
            return digests[i].digest();
    return NULL;
}

EXPORT int32_t mg_digest(const char *name, const char *text, uint32_t bytes, char ret[64])
{
    const EVP_MD *digest = digest_of(name);
    unsigned count = 0;
    return digest && EVP_Digest(text, bytes, (unsigned char *)ret, &count, digest, NULL) == 1 ? (int32_t)count : -EINVAL;
}

EXPORT int32_t mg_hmac(const char *name, const char *key, uint32_t key_bytes, const char *text, uint32_t bytes, char ret[64])
{
    const EVP_MD *digest = digest_of(name);
    unsigned count = 0;
    return digest && HMAC(digest, key, (int)key_bytes, (const unsigned char *)text, bytes, (unsigned char *)ret, &count) ? (int32_t)count : -EINVAL;
}

EXPORT int32_t mg_same(const char *a, const char *b, uint32_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}

/* ---- AES-256-GCM ---- */

static EVP_CIPHER_CTX *cipher(const char *key, const char *nonce, const char *with, uint32_t with_bytes, int sealing)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int count;
    if (context && EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, (const unsigned char *)key, (const unsigned char *)nonce, sealing) == 1 &&
        (with_bytes == 0 || EVP_CipherUpdate(context, NULL, &count, (const unsigned char *)with, (int)with_bytes) == 1))
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

EXPORT int32_t mg_seal(const char *key, const char *nonce, const char *with, uint32_t with_bytes, const char *text, uint32_t bytes, char *ret)
{
    EVP_CIPHER_CTX *context = cipher(key, nonce, with, with_bytes, 1);
    unsigned char *to = (unsigned char *)ret;
    int count = 0, rest = 0;
    bool sealed = context && (bytes == 0 || EVP_CipherUpdate(context, to, &count, (const unsigned char *)text, (int)bytes) == 1) &&
                  EVP_CipherFinal_ex(context, to + count, &rest) == 1 &&
                  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, MG_SEAL_TAG, to + count + rest) == 1;
    EVP_CIPHER_CTX_free(context);
    return sealed ? count + rest + MG_SEAL_TAG : -EINVAL;
}

EXPORT int32_t mg_unseal(const char *key, const char *nonce, const char *with, uint32_t with_bytes, const char *sealed, uint32_t bytes, char *ret)
{
    if (bytes < MG_SEAL_TAG)
        return -EBADMSG;
    EVP_CIPHER_CTX *context = cipher(key, nonce, with, with_bytes, 0);
    const unsigned char *from = (const unsigned char *)sealed;
    unsigned char *to = (unsigned char *)ret, tag[MG_SEAL_TAG];
    int length = (int)bytes - MG_SEAL_TAG, count = 0, rest = 0;
    memcpy(tag, from + length, MG_SEAL_TAG);
    bool opened = context && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, MG_SEAL_TAG, tag) == 1 &&
                  (length == 0 || EVP_CipherUpdate(context, to, &count, from, length) == 1) && EVP_CipherFinal_ex(context, to + count, &rest) == 1;
    EVP_CIPHER_CTX_free(context);
    return opened ? count + rest : -EBADMSG;
}

/* ---- base64 ---- */

EXPORT uint32_t mg_base64(const char *bytes, uint32_t count, int32_t url, char *ret)
{
    uint32_t written = (uint32_t)EVP_EncodeBlock((unsigned char *)ret, (const unsigned char *)bytes, (int)count);
    while (url && written > 0 && ret[written - 1] == '=')
        written--;
    for (uint32_t i = 0; url && i < written; i++)
        ret[i] = ret[i] == '+' ? '-' : ret[i] == '/' ? '_' : ret[i];
    return written;
}

static int sextet(char c, int32_t url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : -1;
}

EXPORT int32_t mg_base64_read(const char *text, uint32_t bytes, int32_t url, char *ret)
{
    uint32_t held = 0, bits = 0, padding = 0;
    char *to = ret;
    while (padding < 2 && bytes > 0 && text[bytes - 1] == '=' && (bytes + padding) % 4 == 0)
        bytes--, padding++;
    for (uint32_t i = 0; i < bytes; i++) {
        int value = sextet(text[i], url);
        if (value < 0)
            return -EINVAL;
        held = held << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *to++ = (char)(held >> bits);
        }
    }
    bool is_whole = bytes % 4 != 1 && (held & ((1u << bits) - 1)) == 0 && (padding == 0 || (bytes + padding) % 4 == 0);
    return is_whole ? (int32_t)(to - ret) : -EINVAL;
}

/* ---- dates ---- */

EXPORT void mg_date(double unix_second, char ret[29])
{
    http_date_format(ret, (int64_t)unix_second);
}

EXPORT double mg_date_read(const char *text, uint32_t bytes)
{
    return (double)http_date_parse(text, bytes);
}
