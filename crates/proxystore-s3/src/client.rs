//! How the client of the SDK comes about.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use proxystore_core::{Origin, Result};

use crate::config::{Checksum, Credentials, REGION, S3Config, canonical};
use crate::error;

/// A client for these settings. Reads the AWS configuration files, and where it runs on AWS may ask for the region;
/// credentials are looked up at the first request.
pub(crate) async fn of(config: &S3Config, origin: Origin) -> Result<Client> {
    let version = BehaviorVersion::v2026_01_12();
    let builder = match (&config.credentials, origin) {
        (Credentials::Anonymous, _) | (Credentials::Chain, Origin::Reference) => {
            Builder::new().behavior_version(version).allow_no_auth()
        }
        (credentials, _) => {
            let mut loader = aws_config::defaults(version);
            if let Credentials::Profile(name) = credentials {
                let profile = ProfileFileCredentialsProvider::builder().profile_name(name).build();
                loader = loader.profile_name(name).credentials_provider(profile);
            }
            // With an endpoint of its own, nobody is asked for a region.
            if let Some(region) = config.region.as_deref().or(config.endpoint.as_ref().map(|_| REGION)) {
                loader = loader.region(Region::new(region.to_owned()));
            }
            let Ok(shared) = tokio::time::timeout(config.timeout, loader.load()).await else {
                return Err(error::no_region(config.timeout));
            };
            Builder::from(&shared)
        }
    };
    let region = match &config.region {
        Some(region) => Some(Region::new(region.clone())),
        None => builder.clone().build().region().cloned(),
    };
    let supported = config.checksum() == Checksum::Supported;
    let settings = quiet(builder)
        .region(region.unwrap_or(Region::from_static(REGION)))
        .timeout_config(TimeoutConfig::builder().connect_timeout(config.connect_timeout).build())
        .force_path_style(config.path_style())
        .request_checksum_calculation(match supported {
            true => RequestChecksumCalculation::WhenSupported,
            false => RequestChecksumCalculation::WhenRequired,
        })
        .response_checksum_validation(match supported {
            true => ResponseChecksumValidation::WhenSupported,
            false => ResponseChecksumValidation::WhenRequired,
        });
    let mut settings = settings;
    settings.set_endpoint_url(config.endpoint.as_deref().and_then(canonical));
    Ok(Client::from_conf(settings.build()))
}

/// The same, without repetitions and guards of its own: the connector and the policies around it have theirs.
pub(crate) fn quiet(builder: Builder) -> Builder {
    builder
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}
