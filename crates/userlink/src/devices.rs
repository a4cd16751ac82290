//! What can be plugged in: the values of `--device`.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Error, anyhow, bail};
use driver_core::pci::Address;
use mlx5::Profile;

/// Where a card is unless it is told otherwise: that of the origin's mail.
const FIRST_ADDRESS: &str = "0000:00:09.0";

/// The forms that `--device` takes, for error messages.
const FORMS: &str = "mlx5[@DOMAIN:BUS:DEVICE.FUNCTION][,profile=NAME|FILE], netdevsim[@NUMBER][,ports=N], spectrum[@DOMAIN:BUS:DEVICE.FUNCTION], none";

/// One device to plug in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceSpec {
    /// A card whose first PCI function is at this address.
    Mlx5 {
        address: Address,
        profile: Box<Profile>,
    },
    /// A simulated device: what `echo "ID PORTS" > /sys/bus/netdevsim/new_device` makes.
    Netdevsim { id: u32, ports: u32 },
    /// A switch whose PCI function is at this address.
    Spectrum { address: Address },
}

impl DeviceSpec {
    /// The card of the origin's mail, which a machine has unless it is told otherwise.
    pub(crate) fn default_device() -> Self {
        Self::Mlx5 {
            address: FIRST_ADDRESS
                .parse()
                .expect("it is the address of the origin's mail"),
            profile: Box::new(Profile::connectx_7()),
        }
    }

    /// What a `--device` plugs in: nothing, if it is `none`.
    ///
    /// # Errors
    /// A text that names the mistake.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Error> {
        match text {
            "none" => Ok(None),
            text => text.parse().map(Some),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut words = text.split(',');
        let device = words.next().unwrap_or_default();
        let (name, address) = match device.split_once('@') {
            Some((name, address)) => (name, Some(address)),
            None => (device, None),
        };
        let keys = words.map(|word| {
            word.split_once('=')
                .ok_or_else(|| anyhow!("--device {text}: `{word}` is not KEY=VALUE"))
        });
        match name {
            "mlx5" => {
                let mut profile = Box::new(Profile::connectx_7());
                for key in keys {
                    match key? {
                        ("profile", value) => *profile = self::profile(value)?,
                        (key, _) => {
                            bail!("--device {text}: mlx5 has no key `{key}`, only `profile`")
                        }
                    }
                }
                let address = match address {
                    None => FIRST_ADDRESS,
                    Some(address) => address,
                };
                let address = pci_address(text, address)?;
                Ok(Self::Mlx5 { address, profile })
            }
            "spectrum" => {
                if let Some(key) = keys.into_iter().next() {
                    bail!("--device {text}: spectrum has no key `{}`", key?.0);
                }
                let address = pci_address(text, address.unwrap_or("0000:01:00.0"))?;
                Ok(Self::Spectrum { address })
            }
            "netdevsim" => {
                let id = number(text, address.unwrap_or("10"))?;
                let mut ports = 1;
                for key in keys {
                    match key? {
                        ("ports", value) => ports = number(text, value)?,
                        (key, _) => {
                            bail!("--device {text}: netdevsim has no key `{key}`, only `ports`")
                        }
                    }
                }
                Ok(Self::Netdevsim { id, ports })
            }
            _ => bail!("--device {text}: there is no such device; there are: {FORMS}"),
        }
    }
}

fn pci_address(text: &str, address: &str) -> Result<Address, Error> {
    address.parse().ok().with_context(|| {
        format!("--device {text}: `{address}` is not a PCI address like 0000:00:09.0")
    })
}

/// The built-in profile of this name, or the one in the file of this name.
fn profile(name: &str) -> Result<Profile, Error> {
    if let Some(profile) = Profile::by_name(name) {
        return Ok(profile);
    }
    let text = fs::read_to_string(name).map_err(|error| {
        let built_in: Vec<_> = Profile::names().collect();
        anyhow!(
            "profile `{name}`: {error}; built in are {} (`userlink profile NAME` prints one)",
            built_in.join(", ")
        )
    })?;
    Ok(Profile::from_toml(name, &text)?)
}

/// Prints a built-in profile.
///
/// # Errors
/// There is no such profile; the ones that there are.
pub(crate) fn print_profile(name: &str) -> Result<ExitCode, Error> {
    let Some(text) = Profile::text(name) else {
        let built_in: Vec<_> = Profile::names().collect();
        bail!(
            "there is no profile `{name}`; there are: {}",
            built_in.join(", ")
        );
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// Prints a firmware file of this version for the card of this profile.
///
/// # Errors
/// There is no such profile, the text is no version, or nobody reads.
pub(crate) fn print_firmware(profile: &str, version: &str) -> Result<ExitCode, Error> {
    let profile = self::profile(profile)?;
    let version = version
        .parse()
        .map_err(|()| anyhow!("`{version}` is not a firmware version like 28.42.1000"))?;
    let image = mlx5::fw_flash::image(&profile, version);
    io::stdout().lock().write_all(&image)?;
    Ok(ExitCode::SUCCESS)
}

fn number(text: &str, value: &str) -> Result<u32, Error> {
    value
        .parse()
        .ok()
        .with_context(|| format!("--device {text}: `{value}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let mlx5 = "mlx5".parse::<DeviceSpec>().unwrap();
        assert_eq!(mlx5, DeviceSpec::default_device());
        assert_eq!("mlx5@0000:00:09.0".parse::<DeviceSpec>().unwrap(), mlx5);
        assert_eq!(
            "netdevsim@7,ports=4".parse::<DeviceSpec>().unwrap(),
            DeviceSpec::Netdevsim { id: 7, ports: 4 }
        );
        assert_eq!(
            "spectrum".parse::<DeviceSpec>().unwrap(),
            "spectrum@0000:01:00.0".parse().unwrap()
        );
    }

    #[test]
    fn unknown_device_lists_the_valid_ones() {
        let error = "e1000".parse::<DeviceSpec>().unwrap_err().to_string();
        assert!(
            error.contains("mlx5") && error.contains("netdevsim"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "mlx5@9",
            "mlx5,ports=1",
            "mlx5,profile=connectx-99",
            "netdevsim@x",
            "netdevsim,ports",
            "netdevsim,lanes=4",
            "spectrum@1",
            "spectrum,ports=4",
        ] {
            assert!(text.parse::<DeviceSpec>().is_err(), "{text}");
        }
    }
}
