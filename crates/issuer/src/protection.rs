//! How private keys rest on the disk: PKCS#8 in PEM, as it is or encrypted under a passphrase, both as `openssl pkey`
//! reads and writes them.
//!
//! The encryption is PBES2 (RFC 8018): a key derived from the passphrase by PBKDF2 with HMAC-SHA-256, and AES-256-CBC.

use core::fmt;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jose::der::{OCTET_STRING, Reader, SEQUENCE, unsigned, value};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

const OID: u8 = 0x06;
const NULL: u8 = 0x05;

const PLAIN: &str = "PRIVATE KEY";
const SEALED: &str = "ENCRYPTED PRIVATE KEY";

/// Guesses are as expensive as OWASP's cheat sheet on password storage asks for (PBKDF2-HMAC-SHA256, 2023).
const ROUNDS: u32 = 600_000;
/// What a file may ask for at most: some seconds.
const MOST_ROUNDS: u32 = 10_000_000;

const SALT_BYTES: usize = 16;
const IV_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// 1.2.840.113549.1.5.13
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.2.840.113549.2.9
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
/// 2.16.840.1.101.3.4.1.42
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// Something that only its owner knows. It is wiped from memory when it is dropped, and not shown.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it over. Nothing for an empty one: it would protect nothing.
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        (!text.is_empty()).then_some(Self(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How private keys rest on the disk. Files are 0600 in any case.
#[derive(Debug)]
pub enum KeyProtection {
    /// As they are.
    Plain,
    /// Encrypted under a passphrase. Keys that are not yet are encrypted when they are opened.
    Passphrase(Secret),
}

/// Why the text of a key's file gives no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreadable {
    /// It is not one PKCS#8 private key in PEM, or encrypted in a way that is not read here.
    NotAKey,
    /// It is encrypted, and no passphrase is given.
    Encrypted,
    /// The passphrase is another one.
    WrongPassphrase,
}

/// Writes and reads the texts of keys' files.
pub(crate) struct Vault {
    protection: KeyProtection,
    derived: Mutex<Derived>,
}

/// Deriving a key takes a tenth of a second; all files of one issuer share a salt, and so what is derived from it.
#[derive(Default)]
struct Derived {
    salt: Option<[u8; SALT_BYTES]>,
    keys: HashMap<(Vec<u8>, u32), Zeroizing<[u8; KEY_BYTES]>>,
}

impl Vault {
    pub fn new(protection: KeyProtection) -> Self {
        Self { protection, derived: Mutex::default() }
    }

    /// The text of a key's file.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn write(&self, pkcs8: &[u8]) -> Result<Zeroizing<String>, String> {
        match &self.protection {
            KeyProtection::Plain => Ok(pem(PLAIN, pkcs8)),
            KeyProtection::Passphrase(secret) => Ok(pem(SEALED, &self.seal(secret, pkcs8)?)),
        }
    }

    /// The key of a file's text, PKCS#8 in DER, and whether the text is protected as it should be.
    pub fn read(&self, text: &str) -> Result<(Zeroizing<Vec<u8>>, bool), Unreadable> {
        if !text.contains(&begin(SEALED)) {
            let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| Unreadable::NotAKey)?;
            let key = Zeroizing::new(key.secret_pkcs8_der().to_vec());
            return Ok((key, matches!(self.protection, KeyProtection::Plain)));
        }
        let KeyProtection::Passphrase(secret) = &self.protection else { return Err(Unreadable::Encrypted) };
        let (block, _) = Pem::read(std::io::Cursor::new(text.as_bytes())).map_err(|_| Unreadable::NotAKey)?;
        let sealed = Sealed::parse(&block.contents).filter(|_| block.label == SEALED).ok_or(Unreadable::NotAKey)?;
        Ok((self.unseal(secret, &sealed)?, true))
    }

    fn seal(&self, secret: &Secret, pkcs8: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |_| "the key cannot be encrypted".to_owned();
        let salt = self.salt()?;
        let key = self.derive(secret, &salt, ROUNDS).ok_or("the key cannot be encrypted")?;
        let key = UnboundCipherKey::new(&AES_256, key.as_slice()).and_then(PaddedBlockEncryptingKey::cbc_pkcs7);
        let iv: [u8; IV_BYTES] = random()?;
        let mut data = pkcs8.to_vec();
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        key.and_then(|key| key.less_safe_encrypt(&mut data, context)).map_err(failed)?;
        let sealed = Sealed { salt: &salt, rounds: ROUNDS, iv, data: &data };
        sealed.to_der().ok_or_else(|| "the key is too long".to_owned())
    }

    fn unseal(&self, secret: &Secret, sealed: &Sealed<'_>) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let key = self.derive(secret, sealed.salt, sealed.rounds).ok_or(Unreadable::NotAKey)?;
        let key = UnboundCipherKey::new(&AES_256, key.as_slice()).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
        let mut data = Zeroizing::new(sealed.data.to_vec());
        let context = DecryptionContext::Iv128(FixedLength::from(sealed.iv));
        let length = key
            .and_then(|key| key.decrypt(data.as_mut_slice(), context).map(|plain| plain.len()))
            .map_err(|_| Unreadable::WrongPassphrase)?;
        data.truncate(length);
        // A wrong key passes the check of the padding once in some 250 attempts.
        let mut reader = Reader::new(&data);
        if reader.take(SEQUENCE).is_some() && reader.is_empty() { Ok(data) } else { Err(Unreadable::WrongPassphrase) }
    }

    fn salt(&self) -> Result<[u8; SALT_BYTES], String> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        match derived.salt {
            Some(salt) => Ok(salt),
            None => Ok(*derived.salt.insert(random()?)),
        }
    }

    fn derive(&self, secret: &Secret, salt: &[u8], rounds: u32) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let rounds_checked = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MOST_ROUNDS)?;
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = derived.keys.get(&(salt.to_vec(), rounds)) {
            return Some(key.clone());
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        derive(PBKDF2_HMAC_SHA256, rounds_checked, salt, secret.0.as_bytes(), key.as_mut_slice());
        if rounds == ROUNDS {
            // what is written from here on shares the salt of what was read
            derived.salt = <[u8; SALT_BYTES]>::try_from(salt).ok().or(derived.salt);
        }
        derived.keys.insert((salt.to_vec(), rounds), key.clone());
        Some(key)
    }
}

/// `EncryptedPrivateKeyInfo` (RFC 5958 3) of the one kind that is written here.
struct Sealed<'a> {
    salt: &'a [u8],
    rounds: u32,
    iv: [u8; IV_BYTES],
    data: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn to_der(&self) -> Option<Vec<u8>> {
        let oid = |bytes: &[u8]| value(OID, &[bytes]);
        let function = value(SEQUENCE, &[&oid(HMAC_SHA256)?, &value(NULL, &[])?])?;
        let salt = value(OCTET_STRING, &[self.salt])?;
        let parameters = value(SEQUENCE, &[&salt, &unsigned(&self.rounds.to_be_bytes())?, &function])?;
        let derivation = value(SEQUENCE, &[&oid(PBKDF2)?, &parameters])?;
        let cipher = value(SEQUENCE, &[&oid(AES_256_CBC)?, &value(OCTET_STRING, &[&self.iv])?])?;
        let algorithm = value(SEQUENCE, &[&oid(PBES2)?, &value(SEQUENCE, &[&derivation, &cipher])?])?;
        value(SEQUENCE, &[&algorithm, &value(OCTET_STRING, &[self.data])?])
    }

    fn parse(der: &'a [u8]) -> Option<Self> {
        let mut info = inside(&mut Reader::new(der))?;
        let mut algorithm = inside(&mut info)?;
        let data = info.take(OCTET_STRING)?;
        named(&mut algorithm, PBES2)?;
        let mut parameters = inside(&mut algorithm)?;
        let (mut derivation, mut cipher) = (inside(&mut parameters)?, inside(&mut parameters)?);
        named(&mut cipher, AES_256_CBC)?;
        let iv = cipher.take(OCTET_STRING)?.try_into().ok()?;
        named(&mut derivation, PBKDF2)?;
        let (salt, rounds) = read_pbkdf2(inside(&mut derivation)?)?;
        Some(Self { salt, rounds, iv, data })
    }
}

/// Salt and rounds of `PBKDF2-params`; nothing where the pseudo-random function is not HMAC with SHA-256.
fn read_pbkdf2(mut parameters: Reader<'_>) -> Option<(&[u8], u32)> {
    let salt = parameters.take(OCTET_STRING)?;
    let rounds = parameters.take_unsigned()?;
    // the length of the key may stand here
    let mut function = inside(&mut parameters).or_else(|| {
        parameters.take_unsigned()?;
        inside(&mut parameters)
    })?;
    named(&mut function, HMAC_SHA256)?;
    let mut number = [0; 4];
    number.get_mut(4_usize.checked_sub(rounds.len())?..)?.copy_from_slice(rounds);
    Some((salt, u32::from_be_bytes(number)))
}

/// What the next sequence holds.
fn inside<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    reader.take(SEQUENCE).map(Reader::new)
}

/// Reads a name that must be this one.
fn named(reader: &mut Reader<'_>, wanted: &[u8]) -> Option<()> {
    (reader.take(OID)? == wanted).then_some(())
}

fn begin(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

/// PEM (RFC 7468) with lines of 64 characters.
pub(crate) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let coded = Zeroizing::new(STANDARD.encode(der));
    // room for all of it at once: growing would leave copies of a key behind
    let mut text = Zeroizing::new(String::with_capacity(coded.len() + coded.len() / 64 + 2 * label.len() + 64));
    text.push_str(&begin(label));
    for (index, character) in coded.chars().enumerate() {
        if index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "no random numbers are to be had".to_owned())?;
    Ok(bytes)
}
