################################################################################
#
# tug
#
################################################################################

TUG_VERSION = @VERSION@
TUG_SITE = $(call qstrip,$(BR2_PACKAGE_TUG_SITE))
TUG_TRIPLE = \
	$(if $(BR2_x86_64),x86_64-unknown-linux-musl) \
	$(if $(BR2_aarch64),aarch64-unknown-linux-musl) \
	$(if $(BR2_arm),armv7-unknown-linux-musleabihf)
TUG_SOURCE = tug-$(TUG_VERSION)-$(strip $(TUG_TRIPLE)).tar.gz
TUG_LICENSE = Apache-2.0
TUG_LICENSE_FILES = LICENSE

define TUG_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/tug $(TARGET_DIR)/usr/bin/tug
	for name in tugd tug-runtime tug-init tug-proxy tug-boot; do \
		ln -sf tug $(TARGET_DIR)/usr/bin/$$name || exit 1; \
	done
endef

ifeq ($(BR2_PACKAGE_TUG_DOCKER_NAMES),y)
define TUG_INSTALL_DOCKER_NAMES
	ln -sf tug $(TARGET_DIR)/usr/bin/docker
endef
TUG_POST_INSTALL_TARGET_HOOKS += TUG_INSTALL_DOCKER_NAMES
endif

ifeq ($(BR2_PACKAGE_TUG_RUNC),y)
define TUG_INSTALL_RUNC
	ln -sf tug $(TARGET_DIR)/usr/bin/runc
endef
TUG_POST_INSTALL_TARGET_HOOKS += TUG_INSTALL_RUNC
endif

ifeq ($(BR2_PACKAGE_TUG_INIT),y)
define TUG_INSTALL_INIT
	ln -sf usr/bin/tug-boot $(TARGET_DIR)/init
endef
TUG_POST_INSTALL_TARGET_HOOKS += TUG_INSTALL_INIT
endif

# The store is made by the program of the machine that builds: host-tug.
TUG_IMAGES = $(call qstrip,$(BR2_PACKAGE_TUG_STORE_IMAGES))
ifneq ($(TUG_IMAGES),)
TUG_DEPENDENCIES += host-tug
TUG_PLATFORM = \
	$(if $(BR2_x86_64),linux/amd64) \
	$(if $(BR2_aarch64),linux/arm64) \
	$(if $(BR2_arm),linux/arm/v7)
define TUG_BUILD_STORE
	mkdir -p $(TARGET_DIR)/usr/share/tug
	$(HOST_DIR)/bin/tug store build \
		--platform $(strip $(TUG_PLATFORM)) \
		-o $(TARGET_DIR)/usr/share/tug/store.erofs $(TUG_IMAGES)
endef
TUG_POST_INSTALL_TARGET_HOOKS += TUG_BUILD_STORE
endif

define TUG_INSTALL_INIT_SYSTEMD
	for unit in tug.socket tug.service tug-down.service; do \
		$(INSTALL) -D -m 0644 $(@D)/systemd/$$unit \
			$(TARGET_DIR)/usr/lib/systemd/system/$$unit || exit 1; \
	done
	$(INSTALL) -D -m 0755 $(@D)/sysv/tug-service \
		$(TARGET_DIR)/usr/bin/tug-service
endef

define TUG_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/sysv/tug-service \
		$(TARGET_DIR)/usr/bin/tug-service
	$(INSTALL) -D -m 0755 $(@D)/sysv/tug $(TARGET_DIR)/etc/init.d/S60tug
endef

define TUG_INSTALL_INIT_OPENRC
	$(INSTALL) -D -m 0755 $(@D)/sysv/tug-service \
		$(TARGET_DIR)/usr/bin/tug-service
	$(INSTALL) -D -m 0755 $(@D)/openrc/tug $(TARGET_DIR)/etc/init.d/tug
endef

define TUG_USERS
	- - docker -1 * - - - Users of the container engine
endef

# What `tug check --emit config --all` lists.
define TUG_LINUX_CONFIG_FIXUPS
@FIXUPS@
endef

HOST_TUG_SOURCE = tug-$(TUG_VERSION)-x86_64-unknown-linux-musl.tar.gz
define HOST_TUG_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/tug $(HOST_DIR)/bin/tug
endef

$(eval $(generic-package))
$(eval $(host-generic-package))
